"""Engines: one protocol for running processors over a log."""
