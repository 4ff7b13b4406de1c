"""Faults on purpose: what is injected, what must hold, how long it takes to recover."""
