from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learners.encode import DENSE, FIELDS, Features, encode
from schemas.interaction import MOST_FEATURE, Payload, SpeakerRole
from schemas.prediction import ExampleInput
from tests.learners.cases import SMALL, said

ROLES: list[SpeakerRole] = ["teacher", "student", "unknown"]
TURNS = st.lists(st.tuples(st.sampled_from(ROLES), st.text(max_size=40)), max_size=10)
INPUTS = st.lists(st.builds(said, st.text(max_size=60), st.sampled_from(ROLES), TURNS), max_size=6)


def rows_of(features: Features, example: int) -> list[list[int]]:
    """The rows of each bag of an example."""
    edges = features.starts[FIELDS * example : FIELDS * (example + 1) + 1]
    return [features.rows[a:b].tolist() for a, b in pairwise(edges)]


@given(INPUTS)
def test_features_have_the_shapes_and_bounds_they_promise(inputs: list[ExampleInput]):
    found = encode(inputs, SMALL)
    assert found.starts.shape == (FIELDS * len(inputs) + 1,)
    assert found.starts[-1] == len(found.rows)
    assert (np.diff(found.starts) >= 0).all()
    assert ((found.rows >= 0) & (found.rows < SMALL.buckets)).all()
    assert found.dense.shape == (len(inputs), DENSE)
    assert np.isfinite(found.dense).all()
    assert (np.abs(found.dense) < 3).all()


@given(INPUTS)
def test_an_example_is_encoded_alike_alone_and_among_others(inputs: list[ExampleInput]):
    together = encode(inputs, SMALL)
    for position, one in enumerate(inputs):
        alone = encode([one], SMALL)
        assert rows_of(alone, 0) == rows_of(together, position)
        assert (alone.dense[0] == together.dense[position]).all()


def test_the_encoding_is_the_same_in_another_process():
    script = (
        "from learners.encode import encode; from tests.learners.cases import SMALL, said;"
        "f = encode([said('Why is it twelve?', before=[('student', 'it is twelve')])], SMALL);"
        "print(f.rows.tolist(), f.dense.tolist())"
    )
    runs = [
        subprocess.run([sys.executable, "-c", script], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True)
        for seed in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout != b""


def test_the_encoder_needs_no_torch():
    script = "import sys, learners.encode, learners.request; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_repeating_the_student_differs_from_the_same_words_said_first():
    restated, first = encode([said("it is twelve", before=[("student", "twelve")]), said("it is twelve")], SMALL).dense
    assert (restated != first).any()


def test_a_students_words_count_only_as_a_students():
    by_student, by_teacher = (said("twelve", before=[(who, "twelve"), ("unknown", "hm")]) for who in ROLES[1::-1])
    found = encode([by_student, by_teacher], SMALL)
    assert rows_of(found, 0)[2] != rows_of(found, 1)[2]


def test_turns_beyond_the_settings_reach_change_nothing():
    near = [("teacher", f"turn {n}") for n in range(SMALL.context_turns)]
    one, other = (said("yes", before=[("student", far), *near]) for far in ("twelve", "thirteen"))
    found = encode([one, other], SMALL)
    assert rows_of(found, 0) == rows_of(found, 1)
    assert (found.dense[0] == found.dense[1]).all()


def test_a_typographic_apostrophe_is_an_apostrophe():
    found = encode([said("don’t"), said("don't")], SMALL)
    assert rows_of(found, 0) == rows_of(found, 1)


HEARD = replace(SMALL, audio_dim=3, video_dim=2)


def sensed(**payload: object) -> ExampleInput:
    return ExampleInput(session="lesson", role="teacher", payload=Payload(text="why?", **payload))


def test_a_vector_that_is_absent_or_of_another_length_is_zero_and_not_present():
    found = encode([sensed(audio=(1, 2, 3)), sensed(audio=(1, 2), video=(4, 5), clarity=0.25), sensed()], HEARD)
    assert found.audio.tolist() == [[1, 2, 3], [0, 0, 0], [0, 0, 0]]
    assert found.video.tolist() == [[0, 0], [4, 5], [0, 0]]
    assert found.present.tolist() == [[1, 0], [0, 1], [0, 0]]
    assert found.clarity.tolist() == [1, 0.25, 1]


def test_a_modality_that_the_settings_do_not_name_is_not_looked_at():
    found = encode([sensed(audio=(1, 2, 3))], SMALL)
    assert found.audio.shape == (1, 0)
    assert found.present.tolist() == [[0, 0]]


@pytest.mark.parametrize("known", [{"mastery": 0.0}, {"age": 0.0}])
def test_what_is_unknown_differs_from_what_is_known_to_be_nought(known: dict[str, float]):
    unknown = said("why?")
    one, other = encode([unknown, unknown.model_copy(update=known)], SMALL).dense
    assert (one != other).any()


@pytest.mark.parametrize("name", ["grade", "subject", "language"])
def test_grade_subject_and_language_are_features_each_of_its_own(name: str):
    plain, one = said("why?"), said("why?").model_copy(update={name: "seven"})
    rows = [set(encode([given], SMALL).rows.tolist()) for given in (plain, one)]
    assert rows[0] < rows[1]
    assert len(rows[1] - rows[0]) == 1


def test_no_number_of_an_app_is_beyond_what_weights_can_bear():
    """JSON holds 1e300; as float32 it is infinite, and 1e30 squared is."""
    heard = said("why?").model_copy(update={"payload": Payload(text="why?", audio=(1e300, -1e30, 0.5))})
    found = encode([heard], replace(SMALL, audio_dim=3))
    assert found.audio.tolist() == [[MOST_FEATURE, -MOST_FEATURE, 0.5]]
