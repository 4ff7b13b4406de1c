"""One online pass over a simulated multimodal stream whose truth is known: what is said, heard and seen agrees.

Labels come late, some never; 8 % are wrong, every second one of rater r3; halfway the audio turns by 60 degrees in two
planes and open questions get other words. All is learned in one pass (32 new and 32 remembered examples a step), and
measured on the moments that follow it, which nothing was learned from:

retrieval@1     is a moment's own audio the nearest to its video, to its text, of 50? Also every twentieth of the way,
                on the 500 moments just ahead: the curve shows the turn and the recovery.
accuracy        on the true question type, with all present and with the audio taken away
open rate       the share of open questions among the moments of the last ten minutes, every ten minutes, the mean over
                windows: in truth, of the labels that came by then, and corrected. The bar is about what raters call
                open, wrongly too, corrected by how late the labels of each class are. Beside it, without a bar, what
                is open (true_open_rate), corrected by how often raters are thought to be right as well.
drift           how many labels come from the turn to the first alarm after it; alarms before it are false. Detectors
                look at errors (rises only: falling is what learning is for) and at what is said to the model.
consistency     how alike the words and the voice, each by itself, speak of the same tasks; the target is .75
rater weight    what each rater's labels count at the end

Exit status 1 if a bar is missed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.multimodal_pass import CALLED, TRULY, Lesson, Rate
from benchmarks.multimodal_score import Scores, accuracy, cross_modal, least_squares, retrieved
from benchmarks.multimodal_stream import SETTINGS, TOOL, Moment, moments
from benchmarks.output import arguments, count, finish, program, progress, table
from learners.fingerprint import fingerprint, fix_threads
from learners.model import served, served_view
from learners.settings import LearningSettings
from schemas.errors import ConfigurationError
from streams.changes import read_changes
from streams.charts import curves

POINTS = 20  # of the curve
AHEAD = 500  # moments that a point of the curve asks about
BARS = {"video_to_audio": 0.60, "text_to_audio": 0.20}
ACCURACY_GAP, RATE_ERROR, LABELS, WEIGHT_SHARE = 0.03, 0.01, 500, 0.5
CARELESS = "r3"
RATES = {"open_rate": CALLED, "true_open_rate": TRULY}
Found = dict[str, Any]


def one_seed(tool: Path, lines: int, seed: int, settings: LearningSettings) -> Found:
    """The whole pass over the stream of ``seed``."""
    after = max(lines // 5, 2 * AHEAD)
    stream = moments(tool, lines, after, seed)
    lesson = Lesson.begin(stream, lines, settings, seed)
    curve: list[tuple[int, Scores]] = []

    def meet(came: int) -> None:
        if came >= len(curve) * lines // POINTS:
            ahead = stream[came : min(came + AHEAD, lines)]
            if sum(moment.is_whole for moment in ahead) >= 100:
                curve.append((came, retrieved(served_view(lesson.model), ahead, seed)))

    lesson.go(meet)
    final, held_back = served(lesson.model), stream[lines:]
    return {
        "seed": seed,
        "retrieval_at_1": retrieved(final, held_back, seed),
        "least_squares": least_squares(stream[lines // 2 : lines], held_back, seed),
        "accuracy": accuracy(final, held_back),
        "cross_modal_consistency": cross_modal(final, held_back),
        **{part: open_rate(lesson.rates[telling]) for part, telling in RATES.items()},
        "drift": drift_seen(lesson),
        "rater_weight": {rater: lesson.trust.weight(rater) for rater in sorted(lesson.trust.counts)},
        "before_turn": next((scores for came, scores in reversed(curve) if came + AHEAD <= lines // 2), {}),
        "after_turn": next((scores for came, scores in curve if came >= lines // 2), {}),
        "curve": [{"lines": came, **scores} for came, scores in curve],
    }


def open_rate(rates: Sequence[Rate]) -> dict[str, float]:
    """The mean over windows, each counted by its moments."""
    total = sum(rate.moments for rate in rates) or 1
    names = ("truth", "naive", "corrected")
    return {name: sum(rate.moments * getattr(rate, name) for rate in rates) / total for name in names}


def drift_seen(lesson: Lesson) -> Found:
    """The first alarm after the turn, how many labels after it, and how many alarms came before it."""
    stream: Sequence[Moment] = lesson.moments
    turn = next(moment.at_s for moment in stream if moment.drifted)
    due = [stream[n].due_s or 0.0 for n in lesson.due()]
    first = min((alarm for alarm in lesson.alarms if alarm.at_s >= turn), default=None)
    return {
        "labels_after": bisect_right(due, first.at_s) - bisect_right(due, turn) if first else None,
        "false_alarms": sum(alarm.at_s < turn for alarm in lesson.alarms),
        "seen_by": first.what if first else None,
    }


def together(found: Sequence[Found]) -> Found:
    """The figures of all seeds: means, but of the drift the worst of them."""
    parts = ("retrieval_at_1", "least_squares", "before_turn", "after_turn", "accuracy", *RATES, "rater_weight")
    whole: Found = {part: _mean([one[part] for one in found]) for part in parts}
    whole["cross_modal_consistency"] = round(fmean(one["cross_modal_consistency"] for one in found), 4)
    after = [one["drift"]["labels_after"] for one in found]
    whole["drift"] = {
        "labels_after": None if None in after else max(after),
        "false_alarms": sum(one["drift"]["false_alarms"] for one in found),
    }
    return {**whole, "holds": held(whole, found), "seeds": list(found), "fingerprint": fingerprint()}


def _mean(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: round(fmean(one[name] for one in found), 4) for name in found[0]}


def held(whole: Found, found: Sequence[Found]) -> dict[str, bool]:
    """Which bars are kept."""
    gap = whole["accuracy"]["all_present"] - whole["accuracy"]["audio_missing"]
    after = whole["drift"]["labels_after"]
    return {
        **{way: whole["retrieval_at_1"][way] >= bar for way, bar in BARS.items()},
        "accuracy": gap <= ACCURACY_GAP,
        "open_rate": _is_corrected(whole["open_rate"]),
        "drift": after is not None and after <= LABELS and not whole["drift"]["false_alarms"],
        "rater_weight": all(_is_doubted(one["rater_weight"]) for one in found),
    }


def _is_corrected(rate: Mapping[str, float]) -> bool:
    naive, corrected = (abs(rate[name] - rate["truth"]) for name in ("naive", "corrected"))
    return corrected <= RATE_ERROR < naive


def _is_doubted(weights: Mapping[str, float]) -> bool:
    others = [weight for rater, weight in weights.items() if rater != CARELESS]
    return weights[CARELESS] < WEIGHT_SHARE * min(others)


def status(holds: Mapping[str, bool]) -> int:
    """The exit status: 0 if every bar is kept, else 1."""
    return 0 if all(holds.values()) else 1


def show(whole: Found) -> None:
    """Tables for people."""
    rows = [
        (one["seed"], way, one["retrieval_at_1"][way], one["least_squares"][way], one["before_turn"][way],
         one["after_turn"][way])
        for one in whole["seeds"]
        for way in BARS
    ]  # fmt: skip
    ways = ("seed", "retrieval@1", "after the pass", "least squares", "before the turn", "just after")
    table(ways, rows, "A moment's own among 50 (guessing: .02)")
    columns = (
        "seed",
        "all present",
        "audio missing",
        "consistency",
        "labels to alarm",
        "false alarms",
        CARELESS,
        "least other",
    )
    table(columns, [_row(one) for one in whole["seeds"]], "Accuracy, drift, raters")
    rates = [(one["seed"], part, *one[part].values()) for one in whole["seeds"] for part in RATES]
    table(("seed", "open questions", "truth", "naive", "corrected"), rates, "The last ten minutes")
    table(("bar", "kept"), [(name, "yes" if kept else "NO") for name, kept in whole["holds"].items()])


def _row(one: Found) -> tuple[object, ...]:
    drift, weights = one["drift"], one["rater_weight"]
    others = min(weight for rater, weight in weights.items() if rater != CARELESS)
    alarms = (drift["labels_after"], drift["false_alarms"])
    return (one["seed"], *one["accuracy"].values(), one["cross_modal_consistency"], *alarms, weights[CARELESS], others)


def drawn(whole: Found) -> dict[str, str]:
    """Retrieval along the stream, a curve a seed."""
    return {
        way: curves(
            f"{way.replace('_', ' ')}: retrieval@1 of 50, on the {AHEAD} moments ahead", "moments met", "retrieval@1",
            {f"seed {one['seed']}": [(point["lines"], point[way]) for point in one["curve"]] for one in whole["seeds"]},
        )
        for way in BARS
    }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments, learn, print; a bar that is missed is status 1. Raises ConfigurationError."""
    parser = arguments(__doc__, "currere bench multimodal --seeds 5 --json")
    parser.add_argument("--seeds", type=count, default=5, help="streams 0 to SEEDS - 1 (default: 5)")
    parser.add_argument(
        "--lines", type=int, default=20_000, help="moments of a pass, from 4000; the bars are for the default, 20000"
    )
    parser.add_argument("--tool", type=Path, default=TOOL, help="the program that prints the stream")
    parser.add_argument("--set", action="append", default=[], metavar="learning.NAME=VALUE", help="a learning setting")
    given = parser.parse_args(argv)
    if not given.tool.exists():
        raise ConfigurationError(f"{given.tool} is not there; name the program that prints the stream with --tool")
    if given.lines < 4_000:
        raise ConfigurationError("--lines: a pass takes 4,000 at least")
    settings = LearningSettings.from_dict({**SETTINGS.to_dict(), **read_changes(given.set)})
    fix_threads()
    found = []
    with progress("streams", given.seeds) as advance:
        for seed in range(given.seeds):
            found.append(one_seed(given.tool, given.lines, seed, settings))
            advance()
    whole = together(found)
    show(whole)
    finish(whole, given, drawn(whole))
    return status(whole["holds"])


if __name__ == "__main__":
    program(main)
