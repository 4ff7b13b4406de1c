"""The commands against a real Kafka and a real Redis, while every role is at work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from town import Town, town

from schemas import codec, topics
from schemas.envelope import Origin
from schemas.interaction import Interaction, Payload
from schemas.model import Delta
from streams.blobs import Blobs
from streams.cli import FAILURE, main
from streams.letters import RETRY_OF

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

MOVES = {"press_for_reasoning": "Why do you think so?", "none": "Okay, sit down now.", "restating": "The area is ten."}
SENTENCES = 60
SMALL = {"buckets": 4096, "dim": 4, "hidden": 8}
WANTED = {"n", "mcc", "macro_f1", "macro_f1_all", "per_class", "ece"}


@pytest.fixture(scope="module")
def here(kafka: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(kafka, redis_url, tmp_path_factory.mktemp("blobs"), learning=SMALL) as found:
        yield found


@pytest.fixture(autouse=True)
def _configured(here: Town, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("kafka", "redis", "blobs", "tenant", "partitions"):
        monkeypatch.setenv(f"CURRERE_{name.upper()}", str(getattr(here.settings, name)))


@pytest.fixture
def lessons(tmp_path: Path) -> Path:
    """One recorded lesson of a teacher whose sentences tell their move."""
    path, names = tmp_path / "lessons.jsonl", list(MOVES)
    rows = [
        {"conv": f"{tmp_path.name}", "group": "g", "seq": n, "turn": n, "t": None, "role": "T",
         "text": MOVES[names[n % 3]], "move": names[n % 3], "label": n % 3}
        for n in range(SENTENCES)
    ]  # fmt: skip
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    """Exit status of a command and the JSON that it printed."""
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--json"])
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    return int(ended.value.code or 0), json.loads(told.out) if told.out else told.err


def spoiled(here: Town) -> Origin:
    """Where a record that nobody can use stands; its letter is there."""
    made = here.event(Interaction(session="s", role="teacher", payload=Payload(text="Why?")))
    origin = here.send(made, b"{not json")
    here.dead_letter(origin)
    return origin


def open_inputs(capsys: pytest.CaptureFixture[str], *options: str) -> set[str]:
    _, found = run(capsys, "dlq", "list", "--limit", "1000", *options)
    return {letter["input"] for letter in found["letters"]}


def test_topics_are_made_once_and_are_as_they_should_be(capsys: pytest.CaptureFixture[str]) -> None:
    names = sorted(topic.name for topic in topics.ALL)
    assert run(capsys, "topics", "create") == (0, {"created": [], "present": names})
    assert run(capsys, "topics", "check") == (0, [])


def test_topics_of_another_partition_count_are_a_difference_and_are_left_as_they_are(
    capsys: pytest.CaptureFixture[str], here: Town
) -> None:
    partitions = here.settings.partitions
    run(capsys, "topics", "create", "--partitions", str(partitions + 1))
    code, found = run(capsys, "topics", "check", "--partitions", str(partitions + 1))
    assert code == FAILURE
    assert {difference["topic"] for difference in found} == {topic.name for topic in topics.ALL if topic.per_session}
    assert {difference["found"] for difference in found} == {str(partitions)}
    assert here.broker.partitions()[topics.INTERACTION.name] == partitions


def test_the_doctor_finds_nothing_that_will_not_work(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = run(capsys, "doctor")
    assert [check for check in found if check["state"] == "fail"] == []
    assert code == 0
    assert {"kafka", "topics", "store", "state offsets", "session partitions", "blobs"} <= {c["name"] for c in found}


def test_a_played_lesson_is_learned_and_every_version_of_it_can_be_evaluated(
    capsys: pytest.CaptureFixture[str], here: Town, lessons: Path
) -> None:
    code, played = run(capsys, "play", str(lessons))
    assert (code, played["interactions"], played["feedback"]) == (0, SENTENCES, SENTENCES)
    assert played["acknowledged"] == 2 * SENTENCES
    made = here.wait_for(topics.EXAMPLE, lambda record: record.header("ce_tenant") == here.settings.tenant, SENTENCES)
    assert len(made) == SENTENCES
    deltas = here.wait_for(topics.DELTA, lambda record: record.header("ce_tenant") == here.settings.tenant, 2)
    versions = [_version(record.value or b"") for record in deltas]
    for version in (versions[0], "latest"):
        code, found = run(capsys, "model", "evaluate", version, str(lessons))
        assert code == 0
        assert found["teacher_move"]["n"] == SENTENCES
        assert set(found["teacher_move"]) >= WANTED


def _version(value: bytes) -> str:
    return codec.decode_data(Delta, codec.manifest(value)).version


def test_checkpoints_are_listed_and_shown_whole(capsys: pytest.CaptureFixture[str], here: Town) -> None:
    here.wait_for(topics.CHECKPOINT, lambda record: record.header("ce_tenant") == here.settings.tenant)
    _, found = run(capsys, "model", "list")
    newest = found[0]
    code, whole = run(capsys, "model", "show", newest["version"])
    assert code == 0
    assert {name: whole[name] for name in newest} == newest
    assert whole["settings"]["buckets"] == here.settings.learning["buckets"]


def test_pruning_that_is_only_tried_names_the_newest_and_deletes_nothing(
    capsys: pytest.CaptureFixture[str], here: Town
) -> None:
    here.wait_for(topics.CHECKPOINT, lambda record: record.header("ce_tenant") == here.settings.tenant)
    code, found = run(capsys, "model", "prune", "--keep", "2", "--dry-run")
    _, listed = run(capsys, "model", "list")
    assert (code, found["dry_run"]) == (0, True)
    assert found["kept"]
    assert [one["version"] for one in listed if one["version"] in found["kept"]] == found["kept"]
    blobs = Blobs(here.settings.blobs)
    assert all(blobs.size(one["uri"]) == one["size"] for one in listed)


def test_the_audit_of_roles_at_work_is_content_with_topics_store_and_every_published_version(
    capsys: pytest.CaptureFixture[str], here: Town
) -> None:
    here.wait_for(topics.CHECKPOINT, lambda record: record.header("ce_tenant") == here.settings.tenant)
    code, found = run(capsys, "audit")
    assert (code, found["ok"], found["findings"]) == (0, True, [])
    assert (found["shards"], found["unproven"]) == (here.settings.partitions + 1, 0)
    assert 0 < found["proven"] <= found["deltas"] + found["checkpoints"]


def test_an_audit_of_a_tenant_of_whom_there_is_nothing_has_proven_nothing(
    capsys: pytest.CaptureFixture[str], here: Town
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["audit", "--tenant", f"{here.settings.tenant}-misspelled"])
    assert ended.value.code == 2
    assert "nothing was proven" in capsys.readouterr().err


def test_the_newest_version_is_explained_by_what_was_played(capsys: pytest.CaptureFixture[str], here: Town) -> None:
    here.wait_for(topics.DELTA, lambda record: record.header("ce_tenant") == here.settings.tenant)
    code, found = run(capsys, "model", "explain", "latest", "--top", "5")
    assert (code, len(found["top"]), found["gone_share"]) == (0, 5, 0)
    assert sum(one["share"] for one in found["by"]["rater"]) == pytest.approx(1, abs=1e-4)


def test_a_fold_without_a_rater_of_the_log_leaves_nothing_of_theirs(
    capsys: pytest.CaptureFixture[str], here: Town
) -> None:
    here.wait_for(topics.DELTA, lambda record: record.header("ce_tenant") == here.settings.tenant)
    _, explained = run(capsys, "model", "explain", "latest")
    rater = explained["by"]["rater"][0]["rater"]
    code, found = run(capsys, "fold", "--without", f"rater:{rater}", "--without", "learner:nobody")
    assert (code, found["clean"], found["same"]) == (0, True, False)
    assert found["examples"]["learner:nobody"] == 0 < found["examples"][f"rater:{rater}"]


def test_a_version_that_never_was_is_an_error_that_says_where_to_look(capsys: pytest.CaptureFixture[str]) -> None:
    code, told = run(capsys, "model", "show", "nothing:1")
    assert code == FAILURE
    assert "currere model list" in told


def test_a_record_that_cannot_be_used_is_listed_and_shown(capsys: pytest.CaptureFixture[str], here: Town) -> None:
    origin = spoiled(here)
    assert str(origin) in open_inputs(capsys, "--reason", "undecodable", "--topic", origin.topic)
    assert str(origin) not in open_inputs(capsys, "--reason", "conflict")
    code, letter = run(capsys, "dlq", "show", str(origin))
    assert (code, letter["offset"], letter["resolution"]) == (0, origin.offset, None)


def test_a_letter_that_is_sent_again_is_closed_and_its_copy_is_judged_anew(
    capsys: pytest.CaptureFixture[str], here: Town
) -> None:
    origin = spoiled(here)
    code, (done,) = run(capsys, "dlq", "retry", str(origin), "--why", "mended", "--who", "operator-2")
    copy = Origin.parse(done["resent"])
    assert (code, done["decision"]) == (0, "retried")
    assert (copy.topic, copy.partition) == (origin.topic, origin.partition)
    (record,) = here.broker.read(copy.topic, copy.partition, copy.offset, copy.offset + 1)
    assert record.header(RETRY_OF) == str(origin)
    here.dead_letter(copy)
    still_open = open_inputs(capsys)
    assert str(copy) in still_open
    assert str(origin) not in still_open
    _, letter = run(capsys, "dlq", "show", str(origin))
    assert letter["resolution"]["who"] == "operator-2"


def test_all_letters_of_a_reason_are_dropped_together(capsys: pytest.CaptureFixture[str], here: Town) -> None:
    spoiled(here)
    before = open_inputs(capsys, "--reason", "undecodable")
    code, done = run(capsys, "dlq", "drop", "--all", "--reason", "undecodable", "--why", "a test")
    assert code == 0
    assert {one["input"] for one in done} == before
    assert open_inputs(capsys, "--reason", "undecodable") == set()


def test_a_letter_is_decided_once_unless_one_insists(capsys: pytest.CaptureFixture[str], here: Town) -> None:
    origin = str(spoiled(here))
    assert run(capsys, "dlq", "drop", origin)[0] == 0
    code, told = run(capsys, "dlq", "retry", origin)
    assert code != 0
    assert "--again" in told
    assert run(capsys, "dlq", "retry", origin, "--again")[0] == 0
