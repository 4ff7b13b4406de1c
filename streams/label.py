"""Feedback arrives: decide whether it is repeated, refused, joined, or waits for what it judges."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.envelope import Origin
from schemas.errors import BadEvent
from schemas.feedback import Retraction
from state.pending import (
    EARLY,
    Early,
    Pending,
    SeenFeedback,
    early_key,
    feedback_key,
    interaction_key,
    taken_back_key,
)
from streams.join import Desk, fate_of_feedback, join
from streams.processor import Input, conflict_or_repeat, dead_letter, dead_letter_of, fate_of, waiting_key

NOT_THEIRS = BadEvent("takes back a judgement of another rater, or on another interaction", "not-theirs")


def take_feedback(desk: Desk, early: Early, input_: Input) -> None:
    """Decide one feedback: repeated, refused, joined, or waiting for what it judges.

    What comes of it does not depend on whether its interaction came before or comes after: a retraction waits for the
    feedback that it takes back, and everything that could be joined waits, in order, for the interaction.
    """
    data, judgement = early.data, early.data.judgement
    before = desk.get(feedback_key(early.id))
    if before is not None:
        desk.publish(conflict_or_repeat(input_, SeenFeedback.model_validate_json(before).digest))
        return
    seen = SeenFeedback(digest=early.digest, interaction=data.interaction, rater=data.rater)
    going, key = [early], early_key(data.interaction)
    if isinstance(judgement, Retraction):
        target = desk.get(feedback_key(judgement.feedback))
        refusal = dead_letter(input_.record, NOT_THEIRS)
        if target is None:
            going, key = [early.model_copy(update={"refusal": refusal.data})], taken_back_key(judgement.feedback)
        elif not _may_take_back(early, SeenFeedback.model_validate_json(target)):
            desk.publish(refusal)
            going = []
    if desk.led_elsewhere(input_.origin):
        desk.adopted.append(input_.origin)
        going = []
    desk.put(feedback_key(early.id), seen.model_dump_json().encode(), desk.now + desk.horizon_s)
    going += _released(desk, early.id, seen)
    if key == early_key(data.interaction) and desk.get(interaction_key(data.interaction)) is not None:
        _join(desk, data.interaction, going)
    else:
        wait(desk, key, going)


def wait(desk: Desk, key: str, going: Sequence[Early]) -> None:
    """Keep feedback under ``key`` until what it waits for arrives, at most until its horizon."""
    if not going:
        return
    waiting = (*EARLY.validate_json(desk.get(key) or b"[]"), *going)
    desk.put(key, EARLY.dump_json(waiting), min(e.due for e in waiting))
    for early in going:
        desk.put(waiting_key(Origin.parse(early.origin)), key.encode())


def release_early(desk: Desk, interaction: str) -> None:
    """Join what has waited for an interaction that has just been scored."""
    _join(desk, interaction, _taken_up(desk, early_key(interaction)))


def _released(desk: Desk, feedback: str, seen: SeenFeedback) -> list[Early]:
    """The retractions that have waited for ``feedback``; those that may not take it back are refused."""
    going = []
    for early in _taken_up(desk, taken_back_key(feedback)):
        judgement = early.data.judgement
        aims_here = isinstance(judgement, Retraction) and judgement.feedback == feedback
        if aims_here and early.refusal is not None and not _may_take_back(early, seen):
            desk.publish(dead_letter_of(early.refusal))
        else:
            going.append(early)
    return going


def _join(desk: Desk, interaction: str, going: Sequence[Early]) -> None:
    found = desk.get(interaction_key(interaction))
    if going and found is not None:
        pending = Pending.model_validate_json(found)
        for early in going:
            join(desk, early, pending)


def _taken_up(desk: Desk, key: str) -> tuple[Early, ...]:
    stored = desk.get(key)
    if stored is None:
        return ()
    desk.delete(key)
    found = EARLY.validate_json(stored)
    for early in found:
        desk.delete(waiting_key(Origin.parse(early.origin)))
    return found


def expire_early(desk: Desk, key: str) -> None:
    """End the wait of those whose horizon has passed, with a fate."""
    waiting = EARLY.validate_json(desk.get(key) or b"[]")
    for early in waiting:
        if early.due <= desk.now:
            origin = Origin.parse(early.origin)
            desk.delete(waiting_key(origin))
            detail = f"what it judges ({key.partition(':')[2]}) did not come within the join horizon"
            desk.publish(
                fate_of(fate_of_feedback("expired", early, detail), origin, early.data.session, early.arrived_ms)
            )
    left = tuple(early for early in waiting if early.due > desk.now)
    if left:
        desk.put(key, EARLY.dump_json(left), min(early.due for early in left))
    else:
        desk.delete(key)


def _may_take_back(early: Early, target: SeenFeedback) -> bool:
    return (target.rater, target.interaction) == (early.data.rater, early.data.interaction)
