"""Recorded data sets become typed interactions with their labels."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ConfigurationError
from streams.readers.form import PAUSE_S, WORDS_PER_SECOND, slug
from streams.readers.talkmoves import talkmoves
from streams.recorded import read

WHOLE = Path(__file__).parents[3] / "shared" / "data" / "talkmoves" / "stream.jsonl.gz"


def row(seq: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        "conv": "Fractions 7B", "group": "S1:Fractions", "seq": seq, "turn": seq + 1, "t": None, "role": "T",
        "text": "Why is that?", "move": "press_for_reasoning", "label": 6,
    } | fields  # fmt: skip


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(one) + "\n" for one in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["lesson.jsonl", "lesson.jsonl.gz"])
def test_a_sentence_becomes_an_interaction_of_its_lesson(tmp_path: Path, name: str) -> None:
    (one,) = read(written(tmp_path / name, [row()]))
    assert one.session == one.interaction.session == slug("Fractions 7B")
    assert one.id == f"{one.session}-0"
    assert one.interaction.role == "teacher"
    assert one.interaction.group == "S1:Fractions"
    assert one.interaction.payload.text == "Why is that?"
    assert one.labels == (("teacher_move", "press_for_reasoning"),)


@pytest.mark.parametrize(
    ("role", "label", "spoken_by", "labels"),
    [
        ("T", 6, "teacher", (("teacher_move", "m"),)),
        ("S", 0, "student", (("student_move", "m"),)),
        ("T", None, "teacher", ()),
        (None, None, "unknown", ()),
    ],
)
def test_the_task_is_the_speaker_s_and_no_label_is_no_label(
    role: str | None, label: int | None, spoken_by: str, labels: tuple[tuple[str, str], ...]
) -> None:
    (one,) = talkmoves([row(role=role, move="m", label=label)])
    assert one.interaction.role == spoken_by
    assert one.labels == labels


def test_without_a_stamp_a_sentence_begins_when_the_one_before_was_spoken() -> None:
    first, second = talkmoves([row(0, text="one two three four five"), row(1)])
    assert (first.time_s, second.time_s) == (0.0, 5 / WORDS_PER_SECOND + PAUSE_S)
    assert second.interaction.timing.gap_s is None


def test_a_turn_begins_at_its_stamp_and_its_sentences_follow_by_length() -> None:
    first, second = talkmoves([row(0, turn=1, t=30, text="one two"), row(1, turn=1, t=30)])
    assert (first.time_s, second.time_s) == (30.0, 30 + 2 / WORDS_PER_SECOND + PAUSE_S)


def test_the_silence_between_stamped_turns_is_less_the_words_spoken() -> None:
    asked, answered = talkmoves([row(0, t=30, text="How many are there now?"), row(1, t=37, role="S")])
    assert asked.interaction.timing.gap_s is None
    assert answered.interaction.timing.gap_s == 7 - 5 / WORDS_PER_SECOND


def test_silence_after_an_unstamped_turn_is_unknown() -> None:
    _, answered = talkmoves([row(0), row(1, t=37)])
    assert answered.interaction.timing.gap_s is None


@given(st.lists(st.tuples(st.none() | st.integers(0, 5000), st.none() | st.integers(1, 9), st.integers(0, 40))))
def test_time_never_falls_within_a_lesson(sentences: list[tuple[int | None, int | None, int]]) -> None:
    rows = [row(n, t=t, turn=turn, text="word " * words) for n, (t, turn, words) in enumerate(sentences)]
    times = [one.time_s for one in talkmoves(rows)]
    assert times == sorted(times)


def test_each_lesson_has_its_own_clock() -> None:
    *_, last = talkmoves([row(0), row(1), row(0, conv="Another")])
    assert last.time_s == 0.0


@given(st.text(max_size=80), st.text(max_size=80))
def test_lessons_never_share_a_slug_and_slugs_are_safe(one: str, two: str) -> None:
    assert (slug(one) == slug(two)) == (one == two)
    assert set(slug(one)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_reading_is_lazy(tmp_path: Path) -> None:
    path = written(tmp_path / "lesson.jsonl", [row(0), row(1)])
    path.write_text(path.read_text() + "no JSON\n")
    rows = read(path)
    assert [next(rows).id[-2:], next(rows).id[-2:]] == ["-0", "-1"]
    with pytest.raises(ConfigurationError, match="cannot be read as JSON lines"):
        next(rows)


@pytest.mark.parametrize("content", ["", '{"text": "hello"}\n'])
def test_an_unknown_format_is_refused_with_those_that_are_known(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match="no known format; known are: TalkMoves"):
        next(read(path))


@pytest.mark.parametrize("content", [b"no JSON\n", b"[1]\n", b"\xff\xfe\n"])
def test_what_is_no_json_lines_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other.jsonl").write_bytes(content)
    with pytest.raises(ConfigurationError):
        next(read(tmp_path / "other.jsonl"))


def test_a_cut_or_absent_file_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "lesson.jsonl.gz", [row(n) for n in range(100)])
    path.write_bytes(path.read_bytes()[:60])
    for bad in (path, tmp_path / "absent.jsonl"):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            list(read(bad))


def test_a_record_that_breaks_the_format_is_named_by_its_number(tmp_path: Path) -> None:
    path = written(tmp_path / "lesson.jsonl", [row(0), row(1, role="X")])
    with pytest.raises(ConfigurationError, match="record 2 is no TalkMoves record"):
        list(read(path))


@pytest.mark.skipif(not WHOLE.exists(), reason="the data set is not beside the repository")
def test_the_whole_data_set_is_read() -> None:
    labels = sessions = sentences = 0
    last = ""
    for one in read(WHOLE):
        sentences += 1
        labels += len(one.labels)
        sessions += one.session != last
        last = one.session
    assert (sentences, sessions) == (166_420, 400)
    assert labels == 120_870 + 44_478
