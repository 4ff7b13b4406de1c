from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from schemas import topics
from schemas.envelope import LONGEST_ATTRIBUTE, read_envelope
from schemas.errors import UndecodableEvent
from schemas.interaction import Interaction, Payload
from streams.client import event, message_of

SAID = Interaction(session="s1", role="teacher", payload=Payload(text="Why is that?"))
ONE_EACH = {topic.name: 1 for topic in topics.ALL}


@pytest.mark.parametrize(
    "wrong",
    [{"source": ""}, {"id": "i" * (LONGEST_ATTRIBUTE + 1)}, {"tenant": "north\nsouth"}, {"tenant": ""}],
    ids=["no source", "an id too long", "a line in a name", "no tenant"],
)
def test_an_event_that_nobody_could_use_is_refused_before_it_is_sent(wrong: dict[str, str]) -> None:
    named = {"tenant": "default", "source": "/apps/whiteboard", **wrong}
    with pytest.raises(UndecodableEvent):
        message_of(event(SAID, **named), ONE_EACH)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        event(SAID, tenant="default", source="/apps/whiteboard", time=datetime(2026, 9, 1, 8, 30))  # noqa: DTZ001  # the fault


def test_a_time_of_any_zone_is_sent_as_it_is_in_utc() -> None:
    local = datetime(2026, 9, 1, 8, 30, tzinfo=timezone(timedelta(hours=2)))
    sent = message_of(event(SAID, tenant="default", source="/apps/whiteboard", time=local), ONE_EACH)
    assert read_envelope(sent.headers).time == datetime(2026, 9, 1, 6, 30, tzinfo=UTC)
