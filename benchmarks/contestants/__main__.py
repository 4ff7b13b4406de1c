"""One contestant as a process: ``python -m benchmarks.contestants NAME JOB``, until it is ended.

All have the garbage collection of currere's roles: it pays off for every one of them.
"""

from __future__ import annotations

import sys
from importlib import import_module

from benchmarks.contestants.work import Job
from streams.up import settle


def main() -> None:
    """Run the contestant that the command line names."""
    name, text = sys.argv[1:]
    contestant = import_module(f"benchmarks.contestants.{name}")
    settle()
    contestant.run(Job.parse(text))


if __name__ == "__main__":
    main()
