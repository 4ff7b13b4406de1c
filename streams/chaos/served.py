"""Which models have spoken: every prediction names one that was published whole, with its digest."""

from __future__ import annotations

from collections.abc import Iterable

from schemas import codec
from schemas.prediction import Prediction
from streams.chain import follow
from streams.ledger import Findings
from streams.message import Record

BEFORE_ANY = "prior:0"


def never_published(
    predictions: Iterable[Record], checkpoints: Iterable[Record], deltas: Iterable[Record], model: str
) -> set[str]:
    """The versions that predictions name and that no whole delta and no checkpoint of ``model`` has brought."""
    chain = follow(checkpoints, deltas, model, Findings())
    published = {f"{lineage.name}:{offset}" for lineage in chain.lineages.values() for offset in lineage.digests}
    spoken = {codec.decode_data(Prediction, record.value).version for record in predictions if record.value is not None}
    return spoken - published - {BEFORE_ANY}
