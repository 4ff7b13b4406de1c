"""Whether we may learn from a learner: what the learner said, or else the tenant's setting."""

from __future__ import annotations

from schemas.drift import Consent
from schemas.prediction import Example
from streams.table import Table


def hear_consent(table: Table, data: Consent) -> None:
    """Note a learner's consent; withdrawn, what is remembered of the learner goes at once."""
    table.put(f"k:{data.learner}", b"1" if data.granted else b"0")
    if not data.granted:
        for id_ in table.memory.of_learner(data.learner):
            table.drop(id_, "no-consent", "consent withdrawn")


def consents(table: Table, data: Example) -> bool:
    """Whether we may learn from this example: a learner's word counts, without one the tenant's setting."""
    learner = data.input.learner if data.input else None
    said = table.get(f"k:{learner}") if learner else None
    if said is not None:
        return said == b"1"
    is_student = data.input is not None and data.input.role == "student"
    return table.curation.consent == "opt-out" or not (learner or is_student)
