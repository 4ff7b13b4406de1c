"""Invented classrooms teach a learner much, but not everything."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache
from itertools import pairwise

import pytest

from schemas.codec import decode, encode
from schemas.feedback import Feedback, Label, Retraction
from schemas.interaction import Interaction
from schemas.topics import FEEDBACK, INTERACTION
from streams import simulated
from streams.schedule import Classroom
from streams.simulated import PHRASES, SCHOOLS, simulate

EVENTS = 6000


@cache
def played() -> tuple[Classroom, ...]:
    return tuple(simulate(seed=7, events=EVENTS))


def sent() -> dict[str, Interaction]:
    return {event.id: event.data for event in played() if isinstance(event.data, Interaction)}


def judged() -> dict[str, Feedback]:
    return {event.id: event.data for event in played() if isinstance(event.data, Feedback)}


def labels() -> list[tuple[Interaction, Feedback, Label]]:
    """Every label with the interaction that it judges, in the order of arrival."""
    met = sent()
    return [
        (met[feedback.interaction], feedback, feedback.judgement)
        for feedback in judged().values()
        if isinstance(feedback.judgement, Label) and feedback.interaction in met
    ]


def near(count: float, share: float, of: float) -> bool:
    """Whether ``count`` is within four standard deviations of a binomial with ``share``."""
    return abs(count - share * of) < 4 * math.sqrt(share * (1 - share) * of)


def words(text: str) -> Iterable[str]:
    found = ["^", *text.lower().replace("?", " ?").replace(".", " .").split()]
    return [*found, *map("_".join, pairwise(found))]


def prequential(pairs: list[tuple[Interaction, Feedback, Label]]) -> list[bool]:
    """Whether a naive Bayes learner was right on each label before it learned from it (Laplace smoothing)."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    totals: Counter[tuple[str, str]] = Counter()
    hits = []
    for interaction, _, label in pairs:
        features, task, value = words(interaction.payload.text), label.task, str(label.value)

        def fit(class_: str, task: str = task, features: Iterable[str] = features) -> float:
            total = totals[task, class_] + 100
            return math.log(seen[task][class_]) + sum(
                math.log((counts[task, class_][word] + 0.1) / total) for word in features
            )

        hits.append(max(seen[task], key=fit, default=None) == value)
        seen[task][value] += 1
        counts[task, value].update(features)
        totals[task, value] += len(list(features))
    return hits


def test_the_same_seed_gives_the_same_events_and_another_gives_others() -> None:
    assert list(simulate(1, 200)) == list(simulate(1, 200))
    assert {event.id for event in simulate(1, 200)}.isdisjoint(event.id for event in simulate(2, 200))


def test_it_gives_as_many_interactions_as_asked_for_and_no_id_twice() -> None:
    assert len(sent()) == EVENTS
    assert len({event.id for event in played()}) == len(played())


def test_every_event_survives_the_codec_and_says_that_it_is_simulated() -> None:
    for event in simulate(1, 300):
        topic = INTERACTION if isinstance(event.data, Interaction) else FEEDBACK
        assert decode(topic, event.envelope.headers(), encode(event.data)) == event
        assert event.envelope.source == "simulated"


def test_every_way_of_speaking_has_phrases_for_the_same_moves() -> None:
    moves = {way: {task: set(phrases) for task, phrases in tasks.items()} for way, tasks in PHRASES.items()}
    assert moves["plain"] == moves["firm"] == moves["online"]
    assert all(len(set(some)) >= 3 for tasks in PHRASES.values() for by in tasks.values() for some in by.values())


def test_both_schools_and_all_moves_of_both_tasks_are_heard() -> None:
    assert {interaction.group for interaction in sent().values()} == set(SCHOOLS)
    heard = {(label.task, label.value) for _, _, label in labels()}
    assert heard == {(task, move) for task, moves in PHRASES["plain"].items() for move in moves}


def test_some_interactions_are_never_labelled() -> None:
    labelled = {feedback.interaction for _, feedback, _ in labels()}
    assert near(EVENTS - len(labelled), simulated.UNLABELLED, EVENTS)


def test_some_labels_contradict_another_rater() -> None:
    by_interaction: dict[str, dict[str, object]] = defaultdict(dict)
    for _, feedback, label in labels():
        by_interaction[feedback.interaction][feedback.rater] = label.value
    contradicted = sum(len(set(values.values())) > 1 for values in by_interaction.values())
    assert near(contradicted, simulated.CONTRADICTED * (1 - simulated.UNLABELLED), EVENTS)


def test_some_labels_are_taken_back_by_their_own_rater_later() -> None:
    order = {event.id: event.envelope.time for event in played()}
    taken = [(id_, f, f.judgement.feedback) for id_, f in judged().items() if isinstance(f.judgement, Retraction)]
    assert near(len(taken), simulated.RETRACTED * (1 - simulated.UNLABELLED), EVENTS)
    assert all(judged()[of].rater == feedback.rater and order[of] < order[id_] for id_, feedback, of in taken)


def test_some_are_flagged_and_some_are_rated() -> None:
    kinds = Counter(feedback.judgement.kind for feedback in judged().values())
    assert near(kinds["flag"], simulated.FLAGGED, EVENTS)
    assert near(kinds["rating"], simulated.RATED, EVENTS)


def test_some_feedback_comes_before_its_interaction() -> None:
    met: set[str] = set()
    early: set[str] = set()
    for event in played():
        if isinstance(event.data, Feedback):
            early |= {event.data.interaction} - met
        met.add(event.id)
    assert near(len(early & sent().keys()), simulated.LATE_INTERACTION, EVENTS)


def test_some_feedback_never_meets_its_interaction() -> None:
    stray = {feedback.interaction for feedback in judged().values()} - sent().keys()
    assert near(len(stray), simulated.STRAY, EVENTS)


def test_one_rater_is_wrong_half_the_time_and_the_others_seldom() -> None:
    truth = dict(_unmistakable())
    wrong: Counter[bool] = Counter()
    given: Counter[bool] = Counter()
    first: set[str] = set()
    for interaction, feedback, label in labels():
        move = truth.get(interaction.payload.text)
        if move is not None and feedback.interaction not in first:
            first.add(feedback.interaction)
            given[feedback.rater == simulated.CARELESS] += 1
            wrong[feedback.rater == simulated.CARELESS] += label.value != move
    assert near(wrong[True], simulated.CARELESS_MISTAKEN, given[True])
    assert abs(wrong[False] / given[False] - simulated.MISTAKEN) < 0.03  # a contradiction may come first


def _unmistakable() -> Iterable[tuple[str, str]]:
    """Sentences without slots that belong to one move alone."""
    found: dict[str, set[str]] = defaultdict(set)
    for tasks in PHRASES.values():
        for moves in tasks.values():
            for move, phrases in moves.items():
                for phrase in phrases:
                    if "{" not in phrase:
                        found[phrase].add(move)
    return [(phrase, next(iter(moves))) for phrase, moves in found.items() if len(moves) == 1]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_plain_learner_gets_visibly_better_within_three_thousand_labels_but_not_perfect(seed: int) -> None:
    met: dict[str, Interaction] = {}
    pairs = []
    for event in simulate(seed, 3400):
        if isinstance(event.data, Interaction):
            met[event.id] = event.data
        elif isinstance(event.data.judgement, Label) and event.data.interaction in met:
            pairs.append((met[event.data.interaction], event.data, event.data.judgement))
    hits = prequential(pairs[:3000])
    began, ended = sum(hits[:300]) / 300, sum(hits[-300:]) / 300
    commonest = max(Counter(str(label.value) for _, _, label in pairs).values()) / len(pairs)
    assert ended > began + 0.1
    assert ended > 2 * commonest
    mistaken = (
        1 - simulated.CARELESS_SHARE
    ) * simulated.MISTAKEN + simulated.CARELESS_SHARE * simulated.CARELESS_MISTAKEN
    assert ended < 1 - mistaken / 2


def test_school_b_speaks_otherwise_from_the_middle_on_and_school_a_does_not() -> None:
    right: dict[int, list[bool]] = defaultdict(list)
    for hit, (interaction, _, _) in zip(prequential(labels()), labels(), strict=True):
        right[int(interaction.session.rsplit("-", 1)[1])].append(hit)
    middle = EVENTS // simulated.LESSON // 2

    def accuracy(school: int, begin: int, end: int) -> float:
        hits = [hit for lesson in range(begin, end) if lesson % 2 == school for hit in right[lesson]]
        return sum(hits) / len(hits)

    def fall(school: int) -> float:
        return accuracy(school, middle - 10, middle) - accuracy(school, middle, middle + 6)

    assert fall(1) > 0.1
    assert abs(fall(0)) < 0.1
    assert accuracy(1, 2 * middle - 20, 2 * middle) > accuracy(1, middle, middle + 6) + 0.1  # and it is learned again
