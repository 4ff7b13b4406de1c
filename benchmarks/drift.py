"""How soon change is seen, and how often where there is none: our detectors beside river's at their defaults.

Errors are shown one by one to each detector; it begins anew after an alarm. Streams:

- ``steady .1``, ``.3``, ``.5``: Bernoulli errors at one rate;
- ``abrupt .1 > .3`` and so on: the rate jumps at the turn; ``gradual``: over ``--width`` labels a growing share of them
  comes from the new rate;
- ``SEA``, ``Agrawal``: prequential errors of Gaussian naive Bayes on river's generators (Street & Kim 2001, Agrawal
  1993), whose concept changes at the turn, at once or over ``--width`` labels (ConceptDriftStream, Bifet 2010).

*delay*: labels from the turn to the first alarm after it, median over the seeds that have one. *found*: their share.
*false*: alarms before the turn, and on steady streams at any time, for 10,000 labels. ``curate`` is what the role runs:
ADWIN and a one-sided HDDM_W together, of which only rises of the error count as alarms.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from statistics import median
from typing import Any, Protocol

from river.datasets import synth
from river.drift import ADWIN, KSWIN, PageHinkley
from river.drift.binary import HDDMW
from river.naive_bayes import GaussianNB

from benchmarks.output import arguments, count, finish, program, progress, table
from learners.drift import DriftMonitor
from streams.charts import Interval, bars

BEFORE, AFTER, WIDTH = 3_000, 2_000, 1_000
RATES = ((0.1, 0.3), (0.2, 0.4), (0.2, 0.6))
STEADY = (0.1, 0.3, 0.5)


class Alarm(Protocol):
    """Whatever is shown errors and says when they have changed for the worse, or at all."""

    def __call__(self, error: float) -> bool:
        """Whether there is an alarm at this error."""


def curate() -> Alarm:
    """What the curate role runs, as far as it rings: rises of the error."""
    monitor = DriftMonitor()
    return lambda error: any(seen.after > seen.before for seen in monitor.update("task", None, error, ""))


def of_river(make: Callable[[], Any]) -> Callable[[], Alarm]:
    """A detector of river at its defaults."""

    def begin() -> Alarm:
        detector = make()

        def shown(error: float) -> bool:
            detector.update(error)
            return bool(detector.drift_detected)

        return shown

    return begin


DETECTORS: dict[str, Callable[[], Alarm]] = {
    "curate": curate,
    "river ADWIN": of_river(ADWIN),
    "river HDDM_W": of_river(HDDMW),
    "river PageHinkley": of_river(PageHinkley),
    "river KSWIN": of_river(lambda: KSWIN(seed=0)),
}


@dataclass(frozen=True, slots=True)
class Stream:
    """``errors(seed)`` of a stream whose turn is after ``turn`` labels; None of a steady one."""

    name: str
    turn: int | None
    errors: Callable[[int], Iterator[float]]


def steady(rate: float, n: int) -> Stream:
    """Errors at one rate."""
    return Stream(f"steady {rate:g}", None, lambda seed: bernoulli(seed, n, lambda at: rate))


def turning(before: float, after: float, width: int) -> Stream:
    """Errors whose rate goes from ``before`` to ``after``; over ``width`` labels each is of either."""
    kind = "gradual" if width > 1 else "abrupt"

    def rate(at: int) -> float:
        return before + (after - before) * min(max((at - BEFORE) / width, 0.0), 1.0)

    return Stream(f"{kind} {before:g} > {after:g}", BEFORE, lambda seed: bernoulli(seed, BEFORE + AFTER + width, rate))


def bernoulli(seed: int, n: int, rate: Callable[[int], float]) -> Iterator[float]:
    """``n`` errors, 0 or 1."""
    draw = random.Random(seed)
    return (float(draw.random() < rate(at)) for at in range(n))


def concepts(name: str, seed: int) -> tuple[Any, Any]:
    """The concept before the turn and the one after it."""
    if name == "SEA":
        return synth.SEA(variant=2, seed=seed, noise=0.1), synth.SEA(variant=3, seed=seed, noise=0.1)
    return synth.Agrawal(classification_function=0, seed=seed), synth.Agrawal(classification_function=2, seed=seed)


def learned(name: str, width: int) -> Stream:
    """Prequential errors of naive Bayes on SEA or Agrawal, whose first concept becomes another."""

    def errors(seed: int) -> Iterator[float]:
        one, two = concepts(name, seed)
        stream: Iterable[Any] = chain(islice(one, BEFORE), two)  # at width 1 the mixing stream overflows
        if width > 1:
            stream = synth.ConceptDriftStream(one, two, seed=seed, position=BEFORE + width // 2, width=width)
        model: Any = GaussianNB()  # type: ignore[no-untyped-call]  # river's models are untyped
        for x, y in islice(stream, BEFORE + AFTER + width):
            numbers = {key: value for key, value in x.items() if isinstance(value, int | float)}
            yield float(model.predict_one(numbers) != y)
            model.learn_one(numbers, y)

    return Stream(f"{name} {'gradual' if width > 1 else 'abrupt'}", BEFORE, errors)


def streams(width: int) -> list[Stream]:
    """All of them."""
    found = [steady(rate, BEFORE + AFTER) for rate in STEADY]
    for over in (1, width):
        found += [turning(*rates, over) for rates in RATES]
        found += [learned(name, over) for name in ("SEA", "Agrawal")]
    return found


@dataclass(frozen=True, slots=True)
class Heard:
    """Of one run: the alarms before the turn and among how many labels, and the delay to the first one after it."""

    false: int
    quiet: int
    delay: int | None = None


def heard(alarm: Alarm, errors: Sequence[float], turn: int | None) -> Heard:
    """What ``alarm`` says of ``errors``."""
    rings = [at for at, error in enumerate(errors, 1) if alarm(error)]
    quiet = len(errors) if turn is None else turn
    return Heard(sum(at <= quiet for at in rings), quiet, next((at - quiet for at in rings if at > quiet), None))


def figures(runs: Sequence[Heard]) -> dict[str, float | None]:
    """``delay``, ``found`` and ``false`` of the runs of one detector on one stream."""
    delays = [run.delay for run in runs if run.delay is not None]
    return {
        "delay": median(delays) if delays else None,
        "found": len(delays) / len(runs),
        "false": 1e4 * sum(run.false for run in runs) / sum(run.quiet for run in runs),
    }


Found = dict[str, dict[str, dict[str, float | None]]]


def measure(seeds: int, width: int, chosen: Mapping[str, Callable[[], Alarm]] = DETECTORS) -> Found:
    """By stream and detector, the figures."""
    found: Found = {}
    every = streams(width)
    with progress("streams", total=len(every) * seeds) as advance:
        for stream in every:
            runs: dict[str, list[Heard]] = {name: [] for name in chosen}
            for seed in range(seeds):
                errors = list(stream.errors(seed))
                for name, begin in chosen.items():
                    runs[name].append(heard(begin(), errors, stream.turn))
                advance()
            found[stream.name] = {name: figures(each) for name, each in runs.items()}
    return found


def show(found: Found) -> dict[str, str]:
    """The tables on standard output; the plots by name."""
    names = list(next(iter(found.values())))
    rows = [(stream, *(each[name]["false"] for name in names)) for stream, each in found.items()]
    table(("false alarms a 10,000 labels", *names), rows, "Where nothing changes")
    turned = {name: each for name, each in found.items() if not name.startswith("steady")}
    rows = [(stream, *(_delay(each[name]) for name in names)) for stream, each in turned.items()]
    table(("labels to the alarm (found)", *names), rows, "Where something changes")
    total = {name: sum(each[name]["false"] or 0.0 for each in found.values()) / len(found) for name in names}
    delays = {
        stream: bars(stream, "labels to the alarm", [Interval(n, each[n]["delay"] or 0.0) for n in names])
        for stream, each in turned.items()
    }
    plots = {f"drift-{name.replace(' ', '-').replace('>', 'to')}": drawn for name, drawn in delays.items()}
    return {"drift-false": bars("False alarms", "a 10,000 labels", [Interval(*x) for x in total.items()]), **plots}


def _delay(each: Mapping[str, float | None]) -> str:
    return f"{each['delay']:.0f} ({each['found']:.0%})" if each["delay"] is not None else "never"


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments, measure, show."""
    parser = arguments(__doc__, "currere bench drift --seeds 10 --json")
    parser.add_argument("--seeds", type=count, default=10, help="runs of each stream (default: 10)")
    parser.add_argument("--width", type=int, default=WIDTH, help="labels that a gradual change takes (default: 1000)")
    given = parser.parse_args(argv)
    found = measure(given.seeds, given.width)
    finish({"streams": found, "seeds": given.seeds, "width": given.width}, given, show(found))
    return 0


if __name__ == "__main__":
    program(main)
