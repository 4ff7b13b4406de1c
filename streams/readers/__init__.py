"""Recorded classroom data sets, one reader a file; ``streams.recorded`` knows them all."""
