"""Each recorded data set becomes interactions as an app would have sent them, with labels of its task set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from learners.tasks import check_label, load_tasks
from schemas.errors import ConfigurationError
from schemas.interaction import Turn
from streams.readers import mrbench as mrbench_reader
from streams.readers.cima import cima
from streams.readers.form import PAUSE_S, WORDS_PER_SECOND, Format, Recorded
from streams.readers.mathdial import mathdial
from streams.readers.mrbench import mrbench
from streams.readers.uptake import uptake
from streams.recorded import FORMATS, format_named, read
from streams.schedule import schedule

DATA = Path(__file__).parents[3] / "shared" / "data"
ROWS: dict[str, list[dict[str, Any]]] = {
    "TalkMoves": [
        {
            "conv": "Fractions", "group": "G", "seq": 0, "turn": 1, "t": None, "role": "T", "text": "Why?",
            "speaker": "T", "move": "press_for_reasoning", "label": 6,
        },
    ],
    "uptake": [
        {"conv": "9", "seq": 4, "student_text": "It is six.", "teacher_text": "Six, why six?", "uptake": 5 / 3},
    ],
    "MRBench": [
        {
            "conv": "a", "seq": 0, "history": "Tutor: What is 2+2? \n Student: 5", "response": "Count again.",
            "tutor": "Expert",
            "labels": {
                "Mistake_Identification": "Yes", "Mistake_Location": "No", "Providing_Guidance": "To some extent",
                "Actionability": "Yes", "Tutor_Tone": "Neutral",
            },
        },
    ],
    "MathDial": [
        {"conv": "d", "seq": 0, "speaker": "Teacher", "role": "T", "text": "Hi, go on.", "move": "generic"},
        {"conv": "d", "seq": 1, "speaker": "Mariana", "role": "S", "text": "I added five and six.", "move": None},
    ],
    "CIMA": [
        {
            "conv": "cima-0", "seq": 2, "alt": alt, "img": "dog.png", "past_convo": ["Fill in.", "What is dog?"],
            "tutor_response": "It is cane.", "tutor_actions": ["hint", "correction"],
        }
        for alt in (0, 1)
    ],
}  # fmt: skip


def recorded(name: str) -> list[Recorded]:
    return list(format_named(name).read(ROWS[name]))


def written(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_what_an_exchange_s_reply_answers_is_its_only_context() -> None:
    asked, reply = uptake(ROWS["uptake"])
    assert (asked.interaction.role, asked.labels) == ("student", ())
    assert reply.interaction.payload.context == (Turn(role="student", text="It is six."),)
    assert reply.labels == (("uptake", 5 / 3),)


def test_an_exchange_that_nobody_rated_has_no_label() -> None:
    *_, reply = uptake([{**ROWS["uptake"][0], "uptake": None}])
    assert reply.labels == ()


def test_a_response_is_judged_four_times_and_does_not_say_who_wrote_it() -> None:
    (one,) = mrbench(ROWS["MRBench"])
    assert dict(one.labels) == {
        "mistake_identification": "Yes", "mistake_location": "No", "providing_guidance": "To some extent",
        "actionability": "Yes",
    }  # fmt: skip
    assert "Expert" not in one.interaction.model_dump_json()


def test_a_written_history_is_its_turns_and_a_turn_may_have_lines_and_colons() -> None:
    history = "Tutor: Ratio 2:3? \n Student: First: six.\nThen 4.\xa0\n\xa0Turor:Why?"
    assert mrbench_reader.turns(history) == (
        Turn(role="teacher", text="Ratio 2:3?"),
        Turn(role="student", text="First: six.\nThen 4."),
        Turn(role="teacher", text="Why?"),
    )


def test_only_a_tutor_s_turn_has_a_move_whatever_the_student_s_name() -> None:
    tutor, student = mathdial(ROWS["MathDial"])
    assert (tutor.interaction.role, student.interaction.role) == ("teacher", "student")
    assert (tutor.labels, student.labels) == ((("tutor_move", "generic"),), ())


def test_alternative_replies_have_the_same_context_which_ends_with_the_student() -> None:
    one, other = cima(ROWS["CIMA"])
    assert one.interaction.payload.context == other.interaction.payload.context
    assert [turn.role for turn in one.interaction.payload.context or ()] == ["teacher", "student"]
    assert one.labels == (("tutor_actions", ("hint", "correction")),)
    assert one.id != other.id


def test_without_a_clock_a_turn_waits_until_the_one_before_was_spoken_and_its_timing_stays_unknown() -> None:
    tutor, student = mathdial(ROWS["MathDial"])
    assert (tutor.time_s, student.time_s) == (0.0, 3 / WORDS_PER_SECOND + PAUSE_S)
    assert student.interaction.timing.at_s is None


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_a_format_is_recognised_by_its_first_record(tmp_path: Path, form: Format) -> None:
    assert list(read(written(tmp_path / "set.jsonl", ROWS[form.name]))) == recorded(form.name)


def test_a_format_that_is_named_need_not_be_recognised(tmp_path: Path) -> None:
    rows = [{name: value for name, value in row.items() if name != "speaker"} for row in ROWS["MathDial"]]
    path = written(tmp_path / "set.jsonl", rows)
    assert list(read(path, "mathdial")) == recorded("MathDial")
    with pytest.raises(ConfigurationError, match="no known format"):
        read(path)


def test_a_format_that_nobody_knows_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ConfigurationError, match="'essays' is no known format; known are: TalkMoves"):
        format_named("essays")


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_labels_are_of_the_task_set_that_the_format_names(form: Format) -> None:
    tasks = {task.name: task for task in load_tasks(Path(form.tasks))}
    for one in recorded(form.name):
        for task, value in one.labels:
            check_label(tasks[task], value)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_each_format_can_be_played(form: Format) -> None:
    events = list(schedule(recorded(form.name), seed=0))
    assert len(events) == sum(1 + len(one.labels) for one in recorded(form.name))


@pytest.mark.skipif(not DATA.exists(), reason="the data sets are not beside the repository")
@pytest.mark.parametrize(
    ("name", "labels"), [("uptake", 1_572 - 152), ("MRBench", 4 * 1_719), ("MathDial", 2_624), ("CIMA", 2_292)]
)
def test_a_whole_data_set_is_read_in_sessions_that_stand_together(name: str, labels: int) -> None:
    form = format_named(name)
    tasks = {task.name: task for task in load_tasks(Path(form.tasks))}
    found = list(read(DATA / form.tasks / "stream.jsonl.gz"))
    for task, value in (label for one in found for label in one.labels):
        check_label(tasks[task], value)
    assert sum(len(one.labels) for one in found) == labels
    assert len({one.id for one in found}) == len(found)
    begins = [one.session for one, after in pairwise(found) if one.session != after.session]
    assert len(begins) == len(set(begins))
