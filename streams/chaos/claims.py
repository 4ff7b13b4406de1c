"""What rows ask of the roles beside the audit: what they say of themselves, and what they served."""

from __future__ import annotations

from collections.abc import Container
from urllib.error import HTTPError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from schemas import codec, topics
from schemas.model import Checkpoint
from schemas.topics import Topic
from streams.audit import Audit
from streams.chaos.crew import Crew
from streams.chaos.infra import pause
from streams.chaos.stand import FAR, DoesNotHold, Stand
from streams.stage import standing

PATIENCE_S = 2.0
AUDITS = 10


def reasons(crew: Crew, role: str) -> str:
    """What ``role`` says at /healthz is wrong with it; nothing if it may be given work, or does not answer."""
    try:
        with urlopen(_page(crew, role, "healthz"), timeout=PATIENCE_S):
            return ""
    except HTTPError as unwell:
        return unwell.read().decode()
    except OSError:
        return ""


def metric(crew: Crew, role: str, sample: str) -> float:
    """The sum of the samples of this name at a role's /metrics; 0 while it does not answer."""
    try:
        with urlopen(_page(crew, role, "metrics"), timeout=PATIENCE_S) as page:
            text = page.read().decode()
    except OSError:
        return 0.0
    return sum(
        one.value for family in text_string_to_metric_families(text) for one in family.samples if one.name == sample
    )


def count(here: Stand, topic: Topic) -> int:
    """How many of the tenant's records a topic has got since the round began."""
    return len(here.records(topic))


def checkpoints(here: Stand) -> list[Checkpoint]:
    """The tenant's checkpoints, oldest first."""
    found = (codec.decode_data(Checkpoint, record.value or b"") for record in here.records(topics.CHECKPOINT))
    return list(found)


def settled_but_for(here: Stand, kinds: Container[str]) -> Audit:
    """What the audit says once the roles have taken all there is: nothing is wrong but findings of these ``kinds``.

    Raises DoesNotHold.
    """
    here.stop_playing()
    here.wait_until(lambda: standing(here, FAR).at_rest, "session and curate have taken all there is")
    for _ in range(AUDITS):
        found = here.audit()
        strange = [one for one in found.findings if one.kind not in kinds]
        if not strange:
            return found
        pause(PATIENCE_S)  # what was published last is on its way
    raise DoesNotHold(f"the audit finds {strange[:3]}")


def _page(crew: Crew, role: str, name: str) -> str:
    return f"http://127.0.0.1:{crew.supervisor.children[role].port}/{name}"
