"""The multimodal benchmark: a pass meets every moment and every label once; its figures are what they are called."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import multimodal
from benchmarks.multimodal_pass import CALLED, SETTLED_S, TRULY, WINDOW_S, Alarm, Lesson, Rate, without_mistakes
from benchmarks.multimodal_score import STEMS, accuracy, least_squares, retrieved
from benchmarks.multimodal_stream import AUDIO, OPEN, QUESTION, SETTINGS, VIDEO, Moment, moments
from learners.model import served
from schemas.errors import ConfigurationError
from schemas.interaction import Payload
from schemas.prediction import ExampleInput
from schemas.training import TrainExample

SMALL = replace(SETTINGS, buckets=4096, dim=4, hidden=8, consistency_dim=8)
DRAW = np.random.default_rng(0)
KINDS = ("none", "closed", OPEN)


def moment(number: int, at_s: float, due_s: float | None = None, kind: str = "none", truth: str = "none") -> Moment:
    """A moment that is heard and seen; its label comes at ``due_s`` and calls its question ``kind``."""
    audio, video = (tuple(DRAW.normal(size=width).tolist()) for width in (AUDIO, VIDEO))
    given = ExampleInput(session="s", role="teacher", payload=Payload(text=f"{kind} word", audio=audio, video=video))
    labels = {QUESTION: kind, "conversation_depth": 0.5, "wait_time": 2.0, "responsiveness": 1.0}
    name = f"moment-{number}"
    example = TrainExample(
        id=name,
        interaction=name,
        feedback=name,
        rater=f"r{number % 4}",
        input=given,
        labels=labels,
        delay_s=0.0 if due_s is None else due_s - at_s,
    )
    return Moment(at_s, due_s, truth, False, example)


def lesson(count: int = 80, lines: int = 70, delay_s: float = 20.0) -> Lesson:
    """A moment every four seconds, its label ``delay_s`` later, every seventh label never."""
    stream = [
        moment(n, 4.0 * n, None if n % 7 == 0 else 4.0 * n + delay_s, KINDS[n % 3], KINDS[n % 3]) for n in range(count)
    ]
    return Lesson.begin(stream, lines, SMALL, seed=0)


def test_every_label_that_comes_in_time_is_learned_from_once_and_no_other() -> None:
    taken = lesson()
    taken.go(lambda came: None)
    expected = [n for n in range(70) if n % 7 and 4.0 * n + 20.0 <= 4.0 * 69]
    assert taken.labels == len(expected)
    assert set(taken.memory.entries) == {f"moment-{n}" for n in expected}
    assert taken.model.steps == -(-len(expected) // 32)


def test_a_moment_is_predicted_by_the_model_that_serves_when_it_comes() -> None:
    taken = lesson(count=200, lines=190)
    before = []
    taken.go(lambda came: before.append((came, taken.model.version)))
    steps = [version for _, version in before]
    assert len(set(steps)) == len(steps)  # a new model each time
    first = before[0][0]
    even = dict.fromkeys(KINDS, 1 / 3)
    for said in taken.predicted[:first]:  # nothing was taught yet
        assert said[QUESTION].probabilities == pytest.approx(even, abs=1e-3)
    assert any(said[QUESTION].probabilities != taken.predicted[0][QUESTION].probabilities for said in taken.predicted)


def test_moments_after_the_pass_are_never_met() -> None:
    taken = lesson()
    taken.go(lambda came: None)
    assert len(taken.predicted) <= 70
    assert not {f"moment-{n}" for n in range(70, 80)} & set(taken.kept)


def test_the_naive_rate_counts_what_is_labelled_by_the_windows_end_and_the_true_one_all_of_its_moments() -> None:
    end = SETTLED_S + WINDOW_S
    # every fourth of the window's moments is open; open ones are labelled after its end, the others at once
    at = np.linspace(end - WINDOW_S + 1, end, 100)
    stream = [
        moment(n, float(t), float(t) + (5_000.0 if n % 4 == 0 else 0.0), OPEN if n % 4 == 0 else "none")
        for n, t in enumerate(at)
    ]
    stream += [moment(n, end + 6_000.0 + n, end + 6_000.0 + n) for n in range(100, 140)]
    taken = Lesson.begin(stream, len(stream), SMALL, seed=0)
    taken.go(lambda came: None)
    first = taken.rates[CALLED][0]
    assert (first.moments, first.truth, first.naive) == (100, 0.25, 0.0)
    assert taken.rates[TRULY][0].truth == 0  # in truth none is open


@pytest.mark.parametrize(("truth", "right"), [(0.15, 0.815), (0.0, 0.9), (1.0, 0.5)])
def test_without_the_raters_mistakes_the_rate_is_the_true_one(truth: float, right: float) -> None:
    called = truth * right + (1 - truth) * (1 - right) / 2  # of three classes
    assert without_mistakes(called, right, 3) == pytest.approx(truth)


def test_raters_who_guess_correct_nothing() -> None:
    assert without_mistakes(0.3, 1 / 3, 3) == 0.3


def test_the_rate_of_all_windows_counts_each_by_its_moments() -> None:
    found = multimodal.open_rate([Rate(100, 0.2, 0.1, 0.3), Rate(300, 0.4, 0.1, 0.3)])
    assert found == pytest.approx({"truth": 0.35, "naive": 0.1, "corrected": 0.3})


def test_alarms_before_the_turn_are_false_and_after_it_labels_are_counted() -> None:
    taken = lesson()
    stream = [replace(one, drifted=n >= 40) for n, one in enumerate(taken.moments)]
    turned = Lesson.begin(stream, 70, SMALL, seed=0)
    turned.alarms = [Alarm(4.0 * 60, "late"), Alarm(4.0 * 50, "first"), Alarm(4.0 * 39, "too soon")]
    due = [4.0 * n + 20.0 for n in range(70) if n % 7]
    expected = sum(4.0 * 40 < at <= 4.0 * 50 for at in due)
    assert multimodal.drift_seen(turned) == {"labels_after": expected, "false_alarms": 1, "seen_by": "first"}


def test_a_model_that_was_taught_nothing_says_the_same_with_and_without_audio() -> None:
    taken = lesson()
    found = accuracy(served(taken.model), taken.moments)
    assert found["all_present"] == found["audio_missing"]


def test_without_a_common_space_a_moments_own_is_found_by_guessing() -> None:
    stream = lesson().moments
    apart = Lesson.begin(stream, 70, replace(SMALL, consistency_weight=0.0), seed=0)
    assert retrieved(served(apart.model), stream, 0) == dict.fromkeys(multimodal.BARS, 1 / 50)


def test_least_squares_finds_what_is_linear_in_the_video_and_in_the_stems() -> None:
    maps = {"video": DRAW.normal(size=(VIDEO, AUDIO)), "stems": DRAW.normal(size=(len(STEMS), AUDIO))}

    def of(number: int, way: str) -> Moment:
        """A moment whose audio is a linear map of its video, or of how often it says each stem."""
        counts, video = DRAW.integers(0, 6, size=len(STEMS)), DRAW.normal(size=VIDEO)
        audio = video @ maps["video"] if way == "video" else counts @ maps["stems"]
        text = " ".join(f"{stem}7" for stem, times in zip(STEMS, counts, strict=True) for _ in range(times))
        one = moment(number, float(number))
        payload = Payload(text=text, audio=tuple(audio.tolist()), video=tuple(video.tolist()))
        given = one.example.input.model_copy(update={"payload": payload})
        return replace(one, example=one.example.model_copy(update={"input": given}))

    for way, name in (("video", "video_to_audio"), ("stems", "text_to_audio")):
        learn, ask = [of(n, way) for n in range(200)], [of(n, way) for n in range(50)]
        assert least_squares(learn, ask, 0)[name] == 1


GOOD = {
    "retrieval_at_1": {"video_to_audio": 0.6, "text_to_audio": 0.2},
    "accuracy": {"all_present": 0.9, "audio_missing": 0.88},
    "open_rate": {"truth": 0.2, "naive": 0.18, "corrected": 0.205},
    "drift": {"labels_after": 500, "false_alarms": 0},
    "rater_weight": {"r0": 1.0, "r3": 0.49},
}


def test_at_its_bars_the_pass_holds() -> None:
    assert all(multimodal.held(GOOD, [GOOD]).values())


@pytest.mark.parametrize(
    ("part", "changed", "bar"),
    [
        ("retrieval_at_1", {"video_to_audio": 0.59}, "video_to_audio"),
        ("retrieval_at_1", {"text_to_audio": 0.19}, "text_to_audio"),
        ("accuracy", {"audio_missing": 0.86}, "accuracy"),
        ("open_rate", {"corrected": 0.215}, "open_rate"),
        ("open_rate", {"naive": 0.195}, "open_rate"),
        ("drift", {"labels_after": 501}, "drift"),
        ("drift", {"labels_after": None}, "drift"),
        ("drift", {"false_alarms": 1}, "drift"),
        ("rater_weight", {"r3": 0.5}, "rater_weight"),
    ],
)
def test_each_bar_is_missed_by_its_own_figure_alone(part: str, changed: dict[str, float | None], bar: str) -> None:
    worse = {**GOOD, part: {**GOOD[part], **changed}}
    holds = multimodal.held(worse, [worse])
    assert [name for name, kept in holds.items() if not kept] == [bar]
    assert (multimodal.status(holds), multimodal.status(multimodal.held(GOOD, [GOOD]))) == (1, 0)


LINE = (
    '{"t": %d, "text": "why", "session": "s", "learner": "l", "rater": "r0", "audio": null, "video": [1.0], '
    '"clarity": 0.5, "labels": {"question": "open", "depth": 0.5, "wait_s": 45.0, "responsive": true}, '
    '"label_delay_s": null, "drifted": %s, "true_question": "closed", "seq": %d}'
)


def test_lines_of_the_stream_become_moments_with_the_turn_in_the_middle_of_the_pass(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text(
        "import argparse\n"
        "parser = argparse.ArgumentParser()\n"
        "for name, kind in (('n', int), ('drift-at', float), ('seed', int), ('out', str)):\n"
        "    parser.add_argument('--' + name, type=kind)\n"
        "o = parser.parse_args()\n"
        "with open(o.out, 'w') as out:\n"
        "    for i in range(o.n):\n"
        f"        out.write({json.dumps(LINE)} % (i, 'true' if i >= o.drift_at * o.n else 'false', i) + '\\n')\n"
    )
    found = moments(tool, 10, 7, 0)
    assert [one.drifted for one in found] == [n >= 5 for n in range(17)]
    assert [one.at_s for one in found] == list(range(17))
    assert found[0].example.labels["wait_time"] == 30  # the task's longest
    assert (found[0].truth, found[0].example.labels[QUESTION], found[0].due_s) == ("closed", OPEN, None)
    assert not found[0].is_whole


@pytest.mark.parametrize(
    ("options", "says"), [(["--tool", "no/such/tool"], "--tool"), (["--lines", "100", "--tool", __file__], "4,000")]
)
def test_what_cannot_be_run_is_said_before_anything_is_learned(options: list[str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        multimodal.main(options)
