"""What each modality makes of an input by itself, by the served weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from learners.fold import fold
from learners.model import Model, served
from learners.settings import LearningSettings
from learners.singly import points, said_singly
from learners.tasks import Task
from schemas.interaction import Payload
from schemas.prediction import ExampleInput
from schemas.training import TrainExample
from tests.learners.cases import SMALL, genesis_request, ones, step_request

ASKED = Task(name="asked", kind="categorical", classes=("none", "open"), group="question", agrees=("audio",))
DEPTH = Task(name="depth", kind="regression", range=(0, 1), group="depth", agrees=("video",))
HEARD = replace(SMALL, tasks=(ASKED, DEPTH), audio_dim=3, video_dim=2, consistency_dim=4)


def begun(settings: LearningSettings = HEARD) -> Model:
    return fold(None, genesis_request(settings), {}, "genesis", 0)[0]


def moment(*, audio: tuple[float, ...] | None = (1.0, -1.0, 0.5), video: tuple[float, ...] | None = (0.5, 2.0)):
    return ExampleInput(session="s", role="teacher", payload=Payload(text="why is that", audio=audio, video=video))


def test_only_modalities_that_are_present_speak_each_of_its_own_tasks():
    said = said_singly(served(begun()), [moment(), moment(audio=None), moment(video=None)])
    told = [{modality: set(tasks) for modality, tasks in each.items()} for each in said]
    text, audio, video = {"text": {"asked", "depth"}}, {"audio": {"asked"}}, {"video": {"depth"}}
    assert told == [text | audio | video, text | video, text | audio]


def test_what_a_modality_says_is_a_probability_a_class_or_a_number_in_range():
    (said,) = said_singly(served(begun()), [moment()])
    assert sum((said["audio"]["asked"].probabilities or {}).values()) == pytest.approx(1, abs=1e-3)
    assert 0 <= (said["video"]["depth"].value or 0) <= 1


def test_a_place_does_not_depend_on_the_other_modalities():
    whole, silent = moment(), moment(audio=None)
    found = points(served(begun()), [whole, silent])
    for name in ("text", "video"):
        np.testing.assert_allclose(found[name][0], found[name][1], atol=1e-6)
    assert not found["audio"][1].any()


def test_where_only_text_is_looked_at_there_is_no_common_space():
    alone = served(begun(replace(HEARD, audio_dim=0, video_dim=0)))
    assert points(alone, [moment()]) == {}
    assert said_singly(alone, [moment()]) == [{}]


def test_of_no_inputs_nothing_is_said():
    assert points(served(begun()), []) == {}
    assert said_singly(served(begun()), []) == []


def test_a_step_of_the_fold_moves_what_only_the_agreement_needs():
    model = begun()
    before = served(model).arrays["agree.audio.weight"]
    taught = [
        TrainExample(
            id=f"e{n}",
            interaction=f"e{n}",
            feedback=f"e{n}",
            rater="r",
            input=moment(audio=(float(n), 1.0, -float(n))),
            labels={"asked": "open", "depth": 0.5},
        )
        for n in range(4)
    ]
    request = step_request(taught)
    model, report = fold(model, request, ones(request), "request-1", 1)
    assert {"contrast", "alone", "accord"} <= set(report.event.losses)
    assert (served(model).arrays["agree.audio.weight"] != before).any()
