"""Two folds side by side, as people see them."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from builders import MOVE

from learners.paired import Paired
from schemas.prediction import Output
from streams.compare import WAYS, Compared, Way
from streams.contrast import drawn, probe_rows, task_rows, verdicts_of

LABELS = 600


def compared(right: Sequence[float], probes: bool = False) -> Compared:
    """Two ways that are right on such shares of the labels of a hundred sessions."""
    ways, paired, draw = (Way(WAYS[0], {}), Way(WAYS[1], {"dim": 2})), Paired((MOVE,), 2), random.Random(1)
    for number in range(LABELS):
        label, luck = draw.choice(MOVE.classes), draw.random()
        wrong = MOVE.classes[(MOVE.classes.index(label) + 1) % 3]
        said = [{"move": Output(probabilities={label if luck < share else wrong: 1.0})} for share in right]
        for way, outputs in zip(ways, said, strict=True):
            way.scores.update("move", label, outputs["move"], 0.0)
        paired.add(f"session {number % 100}", {"move": label}, said)
    for way, share in zip(ways, right, strict=True):
        way.scores.update("depth", 0.5, Output(value=0.4), 0.0)
        if probes:
            way.asked = {"move.mcc": share, "move.accuracy": share, "move.n": 10.0}
            way.probe = [(50, share / 2), (100, share)]
    return Compared(ways, paired, 10)


def test_a_task_is_shown_with_both_figures_their_difference_and_its_interval() -> None:
    found = compared((0.6, 0.8))
    moves = next(row for row in task_rows(found) if row[0] == "move")
    at = found.difference("move")
    assert at is not None
    assert moves[1:3] == (f"{LABELS}", "mcc")
    assert float(moves[4]) - float(moves[3]) == pytest.approx(at.value, abs=2e-3)
    assert moves[6] == f"{at.low:+.3f} to {at.high:+.3f}"


def test_a_task_of_numbers_has_no_interval() -> None:
    assert next(row for row in task_rows(compared((0.6, 0.8))) if row[0] == "depth")[6] == ""


@pytest.mark.parametrize(
    ("right", "says"),
    [
        ((0.5, 0.9), "the changes are better"),
        ((0.9, 0.5), "the changes are worse"),
        ((0.7, 0.7), "no difference shown"),
    ],
)
def test_words_say_what_the_difference_shows(right: Sequence[float], says: str) -> None:
    assert list(verdicts_of(compared(right))) == [f"move: {says}"]


def test_the_probe_is_shown_by_skill_if_there_is_one() -> None:
    assert probe_rows(compared((0.6, 0.8))) == []
    assert probe_rows(compared((0.6, 0.8), probes=True)) == [("move.mcc", "0.600", "0.800")]


def test_what_has_more_than_one_point_is_drawn() -> None:
    assert set(drawn(compared((0.6, 0.8)))) == {"fold-move"}
    assert set(drawn(compared((0.6, 0.8), probes=True))) == {"fold-move", "fold-probe"}
