"""The log folded as if somebody had never been there: nothing of theirs is left, and how far the rest moved."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from builders import MODEL, SMALL, TENANT
from hypothesis import given, settings
from hypothesis import strategies as st
from trainlog import SAYINGS, TIME, ask, train_log

from learners.model import id_hash, served_digest, trained_digest
from learners.settings import LearningSettings
from schemas.errors import ConfigurationError
from schemas.interaction import Payload, Turn
from schemas.prediction import ExampleInput
from schemas.prediction import Output as Answer
from schemas.training import TrainExample, TrainRequest
from streams.compare import compare
from streams.compose import Chosen, genesis_request, probe_request, step_request
from streams.moved import distance, moved
from streams.processor import Output
from streams.requests import Asked, in_log
from streams.unlearn import left_in, to_json, unlearn
from streams.without import Someone, Without
from tests.learners.cases import CLAIM, DEPTH, MOVE

pytestmark = pytest.mark.usefixtures("one_thread")

WHO = ("kim", "lee", None)
RATERS = ("ann", "bo")
ALL_PARTS = LearningSettings(tasks=SMALL.tasks, buckets=4096, dim=4, hidden=8, replay="der++", ewc_weight=1.0,
                             ewc_steps=2, probe_steps=2, schedule="plateau", schedule_steps=2)  # fmt: skip


def example(n: int, before: Sequence[str] = ()) -> TrainExample:
    """Sentence number ``n``: learners and raters take turns, four sentences are a session."""
    move = list(SAYINGS)[n % 3]
    context = tuple(Turn(role="student", text=text) for text in before)
    seen = ExampleInput(session=f"s{n // 4}", role="teacher", learner=WHO[n % 3],
                        payload=Payload(text=f"{SAYINGS[move]} word{n}", context=context))  # fmt: skip
    return TrainExample(id=f"e{n}", interaction=f"i{n}", feedback=f"f{n}", rater=RATERS[n % 2], input=seen,
                        labels={"move": move})  # fmt: skip


def step(new: Sequence[int], again: Sequence[int] = ()) -> Output:
    chosen = [[Chosen.of(example(n)) for n in numbers] for numbers in (new, again)]
    return step_request(MODEL, chosen[0], chosen[1], [0.5] * len(again), new[-1], TIME, ())


def aside(*numbers: int) -> Output:
    return probe_request(MODEL, [Chosen.of(example(n)) for n in numbers], 1, TIME, ())


LOG = (aside(40, 41, 42), *(step((3 * n, 3 * n + 1, 3 * n + 2), (3 * n - 3, 3 * n - 2) if n else ()) for n in range(6)))


def requests(*asked: Output, learning: LearningSettings = ALL_PARTS) -> list[Asked]:
    log = train_log(0, settings=learning)
    ask(log, *(asked or LOG))
    return list(in_log(log, TENANT, MODEL))


def without(found: list[Asked], *named: str) -> Without:
    return Without.of([Someone.parse(name) for name in named], found)


def mentioned(found: Sequence[Asked | None]) -> set[str]:
    return {one.id for asked in found if asked for one in (*asked.manifest.new, *asked.manifest.replayed)}


@pytest.mark.parametrize(
    ("name", "theirs"),
    [("learner:kim", lambda e: e.input.learner == "kim"), ("rater:bo", lambda e: e.rater == "bo"),
     ("event:i4", lambda e: e.id == "e4"), ("event:f4", lambda e: e.id == "e4"), ("event:e4", lambda e: e.id == "e4")],
)  # fmt: skip
def test_no_request_mentions_an_example_of_those_left_out_and_each_mentions_all_others(
    name: str, theirs: object
) -> None:
    found = requests()
    assert callable(theirs)
    left = without(found, name)
    others = {e.id for asked in found for e in (*asked.manifest.new, *asked.manifest.replayed) if not theirs(e)}
    assert mentioned([left.kept(asked) for asked in found]) == others


@settings(max_examples=50)
@given(st.sets(st.sampled_from(["learner:kim", "learner:lee", "rater:ann", "event:i3", "event:none"]), min_size=1))
def test_what_is_left_is_in_its_order_with_its_own_weight(named: set[str]) -> None:
    found = requests()
    left = without(found, *named)
    for asked in found:
        kept = left.kept(asked)
        for part, name in ((asked.manifest.new, "weights.new"), (asked.manifest.replayed, "weights.replayed")):
            wanted = [(e.id, w) for e, w in zip(part, asked.weights.get(name, [0.0] * len(part)), strict=True)
                      if e.id not in left.ids]  # fmt: skip
            mine = () if kept is None else kept.manifest.new if name.endswith("new") else kept.manifest.replayed
            weights = [] if kept is None else kept.weights.get(name, [0.0] * len(mine))
            assert kept is None or [(e.id, w) for e, w in zip(mine, weights, strict=True)] == wanted
        assert (kept is None) == (bool(asked.manifest.new) and all(e.id in left.ids for e in asked.manifest.new))


def test_their_words_are_cut_from_the_contexts_of_others_of_the_same_session() -> None:
    words = example(0).input.payload.text
    here, elsewhere = example(1, ["so", words, "twelve"]), example(5, ["so", words])
    left = without(requests(), "learner:kim")
    assert [turn.text for turn in left.cut(here).input.payload.context or ()] == ["so", "twelve"]
    assert left.cut(elsewhere) is elsewhere


@pytest.mark.parametrize("name", ["learner:kim", "rater:bo", "event:i4"])
def test_nothing_of_theirs_is_left_in_the_model(name: str) -> None:
    found = requests()
    whole = unlearn(lambda: found, [Someone.parse(name)])
    assert whole.left == {"folded": 0, "probe": 0, "met": 0}
    assert whole.is_clean
    assert not whole.is_same


def test_the_model_that_learned_from_them_does_know_their_ids() -> None:
    found = requests()
    recorded = compare(lambda: found, {}).ways[0].model
    assert recorded is not None
    ids = without(found, "learner:kim").ids
    known = left_in(recorded, ids)
    assert known["folded"] == len(ids)
    assert known["probe"] == len(ids & {"e40", "e41", "e42"})
    assert known["met"] == len(ids - {"e40", "e41", "e42"})


def test_a_model_without_somebody_is_the_one_that_a_log_without_them_folds_to() -> None:
    found = requests()
    changed = unlearn(lambda: found, [Someone.parse("rater:bo")]).compared.ways[1].model
    never = requests(*(request for request in map(_without_bo, LOG) if request))
    other = compare(lambda: never, {}).ways[0].model
    assert changed is not None
    assert other is not None
    assert served_digest(changed) == served_digest(other)
    assert trained_digest(changed) == trained_digest(other)


def _without_bo(request: Output) -> Output | None:
    manifest = request.data
    assert isinstance(manifest, TrainRequest)
    new, again = ([int(e.id[1:]) for e in part if e.rater != "bo"] for part in (manifest.new, manifest.replayed))
    if manifest.kind == "probe":
        return aside(*new) if new else None
    last = int(manifest.new[-1].id[1:])
    return _seeded(step(new, again), last) if new else None


def _seeded(request: Output, last: int) -> Output:
    """``request`` with the seed of the request that it is a part of."""
    chosen = request.data
    assert isinstance(chosen, TrainRequest)
    parts = [[Chosen.of(one) for one in part] for part in (chosen.new, chosen.replayed)]
    return step_request(MODEL, parts[0], parts[1], [0.5] * len(parts[1]), last, TIME, ())


def test_leaving_out_who_was_never_there_changes_no_byte() -> None:
    found = requests()
    whole = unlearn(lambda: found, [Someone.parse("learner:nobody")])
    assert whole.is_same
    assert whole.without.found == {"learner:nobody": 0}
    assert all(one.total == 0 for tasks in whole.moved.values() for one in tasks.values())
    assert [way.model.version for way in whole.compared.ways if way.model][1:] == [whole.compared.ways[0].model.version]  # type: ignore[union-attr]  # there is one


def test_the_labels_of_those_left_out_judge_neither_way() -> None:
    found = requests()
    whole = unlearn(lambda: found, [Someone.parse("rater:bo")])
    theirs = sum(n % 2 for n in range(18))
    assert [way.scores.records["move"].total().n for way in whole.compared.ways] == [18 - theirs] * 2


def test_movement_is_told_for_others_for_the_probe_and_for_what_is_gone() -> None:
    found = requests()
    moves = unlearn(lambda: found, [Someone.parse("learner:kim")]).moved
    kims = {n for n in (*range(18), 40, 41, 42) if n % 3 == 0}
    assert {group: tasks["move"].n for group, tasks in moves.items()} == {
        "others": 18 - len(kims - {42}), "probe": 3 - len(kims & {40, 41, 42}), "gone": len(kims)}  # fmt: skip


def test_a_request_of_theirs_alone_is_left_out_whole_and_a_reset_across_it_still_finds_its_version() -> None:
    lineage = compare(requests, {}).ways[0].model
    assert lineage is not None
    back = TrainRequest(kind="reset", model=MODEL, seed=0, reason="test", version=f"{lineage.lineage}:3")
    asked = [*requests(step((1, 2)), step((0, 3)), step((4, 5)))]
    whole = unlearn(lambda: [*asked, Asked("reset", 9, back, {})], [Someone.parse("learner:kim")])
    assert whole.requests_out == 1
    changed, short = whole.compared.ways[1].model, unlearn(lambda: asked[:3], [Someone.parse("learner:kim")])
    assert changed is not None
    assert short.compared.ways[1].model is not None
    assert served_digest(changed) == served_digest(short.compared.ways[1].model)


def test_turns_that_may_be_theirs_are_counted_and_stay() -> None:
    words = example(0).input.payload.text
    other = example(1, ["so", words])
    request = step_request(MODEL, [Chosen.of(example(0)), Chosen.of(other)], [], [], 1, TIME, ())
    asked = requests(request)
    whole = unlearn(lambda: asked, [Someone.parse("learner:kim")])
    assert (whole.turns_cut, whole.unattributed) == (1, 1)


def test_the_model_without_them_has_a_lineage_of_its_own_and_knows_its_genesis() -> None:
    asked = requests()
    one, other = unlearn(lambda: asked, [Someone.parse("rater:bo")]).compared.ways
    assert one.model is not None
    assert other.model is not None
    assert one.model.lineage != other.model.lineage
    assert id_hash(asked[0].id) not in other.model.folded
    assert asked[0].id == genesis_request(MODEL, ALL_PARTS, 7).id


@pytest.mark.parametrize("text", ["kim", "learner", "learner:", "pupil:kim", ":kim"])
def test_whoever_cannot_be_named_is_an_error(text: str) -> None:
    with pytest.raises(ConfigurationError, match="learner:NAME"):
        Someone.parse(text)


def test_distance_is_total_variation_of_one_class_the_mean_of_several_and_the_share_of_a_range() -> None:
    one, other = Answer(probabilities={"none": 0.5, "restating": 0.5, "press": 0.0}), Answer(
        probabilities={"none": 0.1, "restating": 0.5, "press": 0.4})  # fmt: skip
    assert distance(MOVE, one, other) == pytest.approx((0.4 + 0 + 0.4) / 2)
    several = Answer(probabilities={"claim": 0.2, "reason": 0.9}), Answer(probabilities={"claim": 0.4, "reason": 0.8})
    assert distance(CLAIM, *several) == pytest.approx((0.2 + 0.1) / 2)
    assert distance(DEPTH, Answer(value=0.25), Answer(value=0.75)) == pytest.approx(0.5)


def test_a_model_lies_nowhere_from_itself() -> None:
    found = requests()
    model = compare(lambda: found, {}).ways[0].model
    assert model is not None
    apart = moved(model, model, [example(1).input])
    assert {task: one.to_dict()["mean"] for task, one in apart.items()} == {"move": 0.0}  # depth was never taught


def test_json_says_whether_it_is_clean_and_how_each_task_moved() -> None:
    found = requests()
    told = to_json(unlearn(lambda: found, [Someone.parse("rater:bo")]))
    assert told["clean"] is True
    assert told["examples"] == {"rater:bo": sum(n % 2 for n in (*range(18), 41))}
    assert set(told["moved"]) == {"others", "probe", "gone"}  # type: ignore[call-overload]  # a mapping
