"""Train requests as the log or a file holds them, in order: all that a model is folded from."""

from __future__ import annotations

import gzip
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from learners.request import Weights, decode_request, encode_request
from schemas import codec, topics
from schemas.errors import BadEvent, ConfigurationError
from schemas.training import TrainRequest
from streams.engines.broker import Broker
from streams.message import partition_of

OnProgress = Callable[[int, int], None]


class Asked(NamedTuple):
    """One request with its id and where it stood in the log."""

    id: str
    offset: int
    manifest: TrainRequest
    weights: Weights


def in_log(
    broker: Broker, tenant: str, model: str, until: int | None = None, on_progress: OnProgress = lambda done, all: None
) -> Iterator[Asked]:
    """The requests of ``model`` below offset ``until``, by default all there are now; unreadable ones are passed over.

    ``on_progress`` is told how many records of how many were read.
    """
    partition = partition_of(model.encode(), broker.partitions()[topics.TRAIN_REQUEST.name])
    start, end = broker.ends(topics.TRAIN_REQUEST.name, partition)
    end = end if until is None else min(until, end)
    for read, record in enumerate(broker.read(topics.TRAIN_REQUEST.name, partition, start, end), 1):
        on_progress(read, end - start)
        if record.header("ce_tenant") != tenant:
            continue
        try:
            event = codec.decode(topics.TRAIN_REQUEST, record.headers, record.value)
            manifest, weights = decode_request(record.value or b"")
        except BadEvent:
            continue
        if manifest.model == model:
            yield Asked(event.id, record.origin.offset, manifest, weights)


def in_file(path: Path) -> Iterator[Asked]:
    """The requests that ``save`` wrote. Raises ConfigurationError where the file is none such."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                yield Asked(row["id"], row["offset"], *decode_request(b64decode(row["request"])))
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadEvent) as error:
        raise ConfigurationError(
            f"{path} is no file of train requests, as `currere fold --save` makes: {error}"
        ) from error


def save(path: Path, requests: Iterable[Asked]) -> int:
    """Write ``requests`` to ``path``, a gzipped JSON line each; returns how many. Raises OSError."""
    count = 0
    with gzip.open(path, "wt", encoding="utf-8") as lines:
        for one in requests:
            value = b64encode(encode_request(one.manifest, one.weights)).decode()
            lines.write(json.dumps({"id": one.id, "offset": one.offset, "request": value}) + "\n")
            count += 1
    return count
