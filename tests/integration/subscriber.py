"""A subscriber written from the published AsyncAPI document alone; it imports nothing of this project.

    subscriber.py ASYNCAPI.json BOOTSTRAP TENANT MODEL

reads what the log holds now: the predictions, and the model by its first checkpoint and the deltas since. Prints JSON.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import numpy.typing as npt
import xxhash
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

Arrays = dict[str, npt.NDArray[Any]]
TYPES = {"F16": "<f2", "I32": "<i4"}


def opened(value: bytes) -> tuple[dict[str, Any], Arrays]:
    """The manifest of a safetensors file, and those of its tensors that a consumer needs."""
    (length,) = struct.unpack("<Q", value[:8])
    header = json.loads(value[8 : 8 + length])
    told = json.loads(header.pop("__metadata__")["manifest"])
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] in TYPES:
            begin, end = (8 + length + at for at in entry["data_offsets"])
            tensors[name] = np.frombuffer(value[begin:end], TYPES[entry["dtype"]]).reshape(entry["shape"])
    return told, tensors


def digest(arrays: Arrays) -> str:
    """The digest of all served arrays."""
    root = hashlib.sha256()
    for name in sorted(arrays):
        shape = arrays[name].shape
        root.update(f"{name} <f2 ({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})\n".encode())
        for first in range(0, shape[0], 4096):
            root.update(xxhash.xxh3_128(arrays[name][first : first + 4096].tobytes()).digest())
    return root.hexdigest()


class Subscriber:
    """The served arrays of a lineage up to ``offset``."""

    def __init__(self, snapshot: bytes) -> None:
        told, tensors = opened(snapshot)
        self.lineage, self.offset, self.taken = told["lineage"], told["next_offset"], 0
        self.arrays: Arrays = {}
        self._parts: dict[int, bytes] = {}
        for tensor, values in tensors.items():
            name = tensor.removeprefix("served/")
            if name != tensor and f"{name}.rows" in tensors:
                self.arrays[name] = np.zeros((told["settings"]["buckets"], values.shape[1]), "<f2")
                self.arrays[name][tensors[f"{name}.rows"]] = values
            elif name != tensor:
                self.arrays[name] = values.copy()
        assert digest(self.arrays) == told["digest"]

    def offer(self, part: bytes) -> bool:
        """Take a part of a delta; False: only a newer checkpoint helps."""
        told, _ = opened(part)
        if told["lineage"] != self.lineage or told["b"] <= self.offset:
            return True
        if told["a"] > self.offset:
            return False
        if told["part"] == 0:
            self._parts.clear()
        self._parts[told["part"]] = part
        return len(self._parts) < told["parts"] or self._apply(told)

    def _apply(self, told: dict[str, Any]) -> bool:
        fresh = {name: array.copy() for name, array in self.arrays.items()}
        for part in self._parts.values():
            _, tensors = opened(part)
            for name, tensor in tensors.items():
                table = name.removesuffix(".values")
                if table != name:
                    fresh[table][tensors[f"{table}.rows"]] = tensor
                elif not name.endswith(".rows"):
                    fresh[name] = tensor
        self._parts.clear()
        if digest(fresh) != told["digest"]:
            return False
        self.arrays, self.offset, self.taken = fresh, told["b"], self.taken + 1
        return True


def read(bootstrap: str, topic: str, tenant: str) -> Iterator[tuple[str, bytes, bytes]]:
    """Id, key and value of a tenant's records, partition by partition, each id once."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "subscriber", "enable.auto.commit": False})
    seen = set()
    for partition in consumer.list_topics(topic).topics[topic].partitions:
        place = TopicPartition(topic, partition, OFFSET_BEGINNING)
        start, end = consumer.get_watermark_offsets(place)
        consumer.assign([place])
        while start < end and consumer.position([place])[0].offset < end:
            message = consumer.poll(1.0)
            if message is None or message.error():
                continue
            headers = {name: value.decode() for name, value in message.headers()}
            if headers["ce_tenant"] == tenant and headers["ce_id"] not in seen:
                seen.add(headers["ce_id"])
                yield headers["ce_id"], message.key(), message.value()
    consumer.close()


def fetch(checkpoint: dict[str, Any]) -> bytes:
    """The snapshot that a checkpoint is the claim check of."""
    with urlopen(checkpoint["uri"]) as file:
        value: bytes = file.read()
    assert (len(value), hashlib.sha256(value).hexdigest()) == (checkpoint["size"], checkpoint["sha256"])
    return value


def main(document: str, bootstrap: str, tenant: str, model: str) -> None:
    """Read all there is and say what came of it."""
    channels = json.loads(Path(document).read_text("utf-8"))["channels"].values()
    topic = {message: channel["address"] for channel in channels for message in channel["messages"]}
    predictions = [json.loads(value) for _, _, value in read(bootstrap, topic["Prediction"], tenant)]
    checkpoints = [json.loads(v) for _, k, v in read(bootstrap, topic["Checkpoint"], tenant) if k == model.encode()]
    mine = [checkpoint for checkpoint in checkpoints if checkpoint["lineage"] == checkpoints[-1]["lineage"]]
    subscriber = Subscriber(fetch(mine[0]))
    for _, key, part in read(bootstrap, topic["Delta"], tenant):
        if key == model.encode() and not subscriber.offer(part):
            subscriber = Subscriber(fetch(mine[-1]))
    found = {
        "predictions": len(predictions),
        "sessions": len({prediction["session"] for prediction in predictions}),
        "version": f"{subscriber.lineage}:{subscriber.offset}",
        "digest": digest(subscriber.arrays),
        "deltas": subscriber.taken,
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
