"""What each part of the guided step costs: every part alone and all of them, beside the same step with plain replay.

One step takes 32 new and 32 replayed examples, each with words, a context, audio, video and a label of every default
task but the talk moves. All variants take their steps in turns, so that whatever else runs on the machine hits all
alike. Bar: with all parts on at most three times plain replay.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.output import arguments, count, finish, program, progress, table
from learners.fingerprint import fingerprint, fix_threads
from learners.fold import fold
from learners.model import Model
from learners.settings import LearningSettings
from learners.step import step
from learners.tasks import default_tasks
from schemas.feedback import LabelValue
from schemas.interaction import Payload, Turn
from schemas.prediction import ExampleInput
from schemas.training import TrainExample, TrainRequest
from streams.charts import Interval, bars

AUDIO, VIDEO = 24, 16
NEW = 32
WORDS = [f"word{n}" for n in range(4000)]
TASKS = tuple(task for task in default_tasks() if task.group != "move")
PLAIN = LearningSettings(
    tasks=TASKS, audio_dim=AUDIO, video_dim=VIDEO, modality_dropout=0.0, consistency_weight=0.0, guidance_rate=0.0
)
PARTS: Mapping[str, dict[str, object]] = {
    "plain replay": {},
    "DER++": {"replay": "der++ace"},
    "constraints": {"guidance_rate": 0.05},
    "consistency": {"consistency_weight": 0.5, "modality_dropout": 0.15},
    "EWC": {"ewc_weight": 1.0, "ewc_steps": 50},
    "adaptive rates": {"schedule": "plateau"},
}
EVERY = "all parts"


def settings_of(part: str) -> LearningSettings:
    """Plain replay with one part switched on, or with all."""
    chosen = PARTS.values() if part == EVERY else (PARTS[part],)
    changed = {name: value for one in chosen for name, value in one.items()}
    return LearningSettings.from_dict({**PLAIN.to_dict(), **changed})


def moments(count: int, draw: np.random.Generator) -> list[TrainExample]:
    """Examples that have everything: words by Zipf's law, two turns before, audio, video, labels of every task."""
    return [_moment(f"moment-{n}", draw) for n in range(count)]


def _moment(name: str, draw: np.random.Generator) -> TrainExample:
    payload = Payload(
        text=_words(12, draw),
        context=(Turn(role="teacher", text=_words(10, draw)), Turn(role="student", text=_words(6, draw))),
        audio=tuple(draw.normal(size=AUDIO).tolist()),
        video=tuple(draw.normal(size=VIDEO).tolist()),
    )
    given = ExampleInput(session="bench", role="teacher", payload=payload, mastery=float(draw.random()))
    labels: dict[str, LabelValue] = {
        "question_type": ("none", "closed", "open")[draw.integers(3)], "scaffolding": ("hints",),
        "emotional_support": 4.0, "classroom_organization": 5.0, "instructional_support": 3.0,
        "conversation_depth": float(draw.random()), "wait_time": float(draw.gamma(2.0)), "responsiveness": 1.0,
    }  # fmt: skip
    return TrainExample(id=name, interaction=name, feedback=name, rater="bench", input=given, labels=labels)


def _words(count: int, draw: np.random.Generator) -> str:
    return " ".join(WORDS[min(int(rank), len(WORDS)) - 1] for rank in draw.zipf(1.3, count))


class Lane:
    """One variant's model and the seconds of each of its steps."""

    def __init__(self, part: str) -> None:
        manifest = TrainRequest(
            kind="genesis", model="bench", seed=0, reason="bench", settings=settings_of(part).to_dict()
        )
        self.model: Model = fold(None, manifest, {}, "genesis", 0)[0]
        self.seconds: list[float] = []

    def take(self, new: Sequence[TrainExample], replayed: Sequence[TrainExample], seed: int) -> None:
        """One step."""
        weights = np.ones(len(new) + len(replayed), dtype=np.float32)
        begun = time.perf_counter()
        self.model, _ = step(self.model, new, replayed, weights, seed)
        self.seconds.append(time.perf_counter() - begun)


def measured(steps: int, seed: int) -> dict[str, dict[str, float]]:
    """Milliseconds of the median and the mean step of each variant, and their ratio to plain replay's.

    The median is what a usual step costs; the mean holds the consolidations too, which come now and then.
    """
    draw = np.random.default_rng(seed)
    known = moments(2_000, draw)
    lanes = {part: Lane(part) for part in (*PARTS, EVERY)}
    with progress("steps", steps * len(lanes)) as advance:
        for number in range(steps):
            chosen = [known[at] for at in draw.choice(len(known), 2 * NEW, replace=False)]
            for lane in lanes.values():
                lane.take(chosen[:NEW], chosen[NEW:], number)
                advance()
    warm = {part: np.array(lane.seconds[steps // 5 :]) for part, lane in lanes.items()}
    plain = warm["plain replay"]
    return {
        part: {
            "median_ms": round(1e3 * float(np.median(took)), 3),
            "mean_ms": round(1e3 * float(took.mean()), 3),
            "ratio": round(float(np.median(took / plain)), 3),
            "mean_ratio": round(float(took.mean() / plain.mean()), 3),
        }
        for part, took in warm.items()
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments, measure, print."""
    parser = arguments(__doc__, "currere bench step --steps 300 --json")
    parser.add_argument("--steps", type=count, default=300, help="steps of each variant (default: 300)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    given = parser.parse_args(argv)
    fix_threads()
    found = measured(given.steps, given.seed)
    rows = [(part, *one.values()) for part, one in found.items()]
    table(
        ("part", "median ms", "mean ms", "ratio", "ratio of means"), rows, "One step of 32 new and 32 replayed examples"
    )
    holds = found[EVERY]["mean_ratio"] <= 3
    print(f"all parts cost {found[EVERY]['mean_ratio']:.2f} times plain replay; bar 3: {'kept' if holds else 'missed'}")
    costs = [Interval(part, one["ratio"]) for part, one in found.items()]
    drawn = {"step": bars("Cost of a guided step", "times plain replay", costs)}
    finish({"parts": found, "bar": 3, "holds": holds, "fingerprint": fingerprint()}, given, drawn)


if __name__ == "__main__":
    program(main)
