"""The published model held against a fresh fold of its log, and each snapshot and delta against what it claims.

Of the learning core it takes ``learners.fold`` and what opens a snapshot or a delta; of the roles it takes nothing.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from learners.delta import apply_delta
from learners.fingerprint import fingerprint
from learners.fold import fold
from learners.model import Model, served_digest, trained_digest
from learners.request import decode_request
from learners.served import Served
from learners.snapshot import restore, served_from_snapshot
from schemas import codec, topics
from schemas.envelope import Origin
from schemas.errors import BadEvent, ConfigurationError, ModelRefused
from schemas.event import Data
from schemas.model import Checkpoint, Delta
from schemas.topics import Topic
from streams.books import Books
from streams.ledger import Findings
from streams.message import Record
from streams.verdict import Proven

Fetch = Callable[[str], bytes | None]
OnProgress = Callable[[int, int], None]


def prove(books: Books, fetch: Fetch, on_progress: OnProgress = lambda done, all: None) -> Proven:
    """Open every snapshot, apply every delta, fold every request; what is wrong is added to the findings of ``books``.

    A version cannot be proven that was made under another fingerprint than this process has, or whose log no longer
    begins with its genesis.
    """
    proof = _Proof(books, fetch, books.findings)
    proof.run(on_progress)
    return Proven(proof.snapshots, proof.gone, proof.proven, proof.unproven)


@dataclass(slots=True)
class _Proof:
    books: Books
    fetch: Fetch
    findings: Findings
    proven: int = 0
    unproven: int = 0
    snapshots: int = 0
    gone: int = 0
    _kept: dict[str, Checkpoint] = field(default_factory=dict)
    _claims: dict[int, list[tuple[Origin, Checkpoint | Delta]]] = field(default_factory=lambda: defaultdict(list))

    def run(self, on_progress: OnProgress = lambda done, all: None) -> None:
        for origin, found in self._published(topics.CHECKPOINT):
            if isinstance(found, Checkpoint) and found.version not in self._kept:
                self._kept[found.version] = found
                self._claims[found.next_offset].append((origin, found))
        for origin, whole in self._deltas():
            self._claims[whole[0].b].append((origin, whole[0]))
        newest = max(self._kept.values(), key=lambda one: one.next_offset, default=None)
        for found in self._kept.values():
            self._open(found, is_newest=found is newest)
        self._follow()
        self._fold(on_progress)

    def _open(self, found: Checkpoint, *, is_newest: bool) -> None:
        """The blob is the one that was published, and says what its event says."""
        content = self.fetch(found.uri)
        if content is None:
            self.gone += 1
            if is_newest:
                self.findings.add("blob", found.version, f"the newest snapshot is not at {found.uri}")
            return
        try:
            model = restore(_checked(found, content))
        except ModelRefused as error:
            self.findings.add("blob", found.version, str(error))
            return
        said = model.version, served_digest(model), trained_digest(model)
        if said != (found.version, found.digest, found.trained_digest):
            self.findings.add("blob", found.version, f"the snapshot is {said[0]} with the digest {said[1]}")
        self.snapshots += 1

    def _follow(self) -> None:
        """Whoever begins at a snapshot and applies each delta comes to each digest."""
        followers: dict[str, Served] = {}
        for origin, parts in self._whole():
            first = codec.decode_data(Delta, codec.manifest(parts[0]))
            before = followers.get(first.lineage) or self._snapshot_in(first)
            if before is None or not first.a <= before.next_offset < first.b:
                before = self._snapshot_in(first)
            if before is None:
                continue
            try:
                followers[first.lineage] = apply_delta(before, parts)
            except ModelRefused as error:
                self.findings.add("delta", origin, f"{before.version} cannot be led on to {first.version}: {error}")
                followers.pop(first.lineage, None)

    def _snapshot_in(self, delta: Delta) -> Served | None:
        """A snapshot from which ``delta`` leads on, if there is a whole one."""
        for found in self._kept.values():
            if found.lineage == delta.lineage and delta.a <= found.next_offset < delta.b:
                try:
                    return served_from_snapshot(_checked(found, self.fetch(found.uri) or b""))
                except ModelRefused:  # ``_open`` has said so
                    continue
        return None

    def _fold(self, on_progress: OnProgress) -> None:
        """Each version that was published is the fold of the requests before it."""
        if self.books.cut(topics.TRAIN_REQUEST):
            self.unproven = sum(map(len, self._claims.values()))
            return
        model: Model | None = None
        total = self.books.ledgers[topics.TRAIN_REQUEST.name].records
        for done, record in enumerate(self.books.all(topics.TRAIN_REQUEST), 1):
            on_progress(done, total)
            try:
                event = codec.decode(topics.TRAIN_REQUEST, record.headers, record.value)
                manifest, weights = decode_request(record.value or b"")
                if manifest.model != self.books.model:
                    continue
                model, _ = fold(model, manifest, weights, event.id, record.origin.offset, self._snapshot)
            except (BadEvent, ConfigurationError, ModelRefused):  # a dead letter, which changes nothing
                continue
            for origin, claim in self._claims.pop(model.next_offset, ()):
                self._hold(origin, claim, model)
        ends = self.books.ends[topics.TRAIN_REQUEST.name]
        last = max((end for _, end in ends.values()), default=0)
        for origin, claim in (one for claims in self._claims.values() for one in claims):
            later = self._offset(claim) > last  # of a request that came after those in view
            here = self.books.ahead if later else self.findings
            here.add("fold", origin, f"{claim.version} was published, and no request ends there")

    def _hold(self, origin: Origin, claim: Checkpoint | Delta, model: Model) -> None:
        trained = claim.trained_digest if isinstance(claim, Checkpoint) else None
        if claim.lineage == model.lineage and claim.digest == served_digest(model):
            self.proven += 1
            if trained is not None and trained != trained_digest(model):
                self.findings.add(
                    "fold", origin, f"{claim.version} serves what the log folds to, but was trained otherwise"
                )
        elif claim.lineage != model.lineage or self._fingerprints(claim.lineage) != [fingerprint()]:
            self.unproven += 1
        else:
            self.findings.add(
                "fold", origin, f"{claim.version} is {claim.digest}, the log folds to {served_digest(model)}"
            )

    @staticmethod
    def _offset(claim: Checkpoint | Delta) -> int:
        return claim.b if isinstance(claim, Delta) else claim.next_offset

    def _fingerprints(self, lineage: str) -> list[dict[str, str]]:
        """Under which the snapshots of ``lineage`` were made, each once."""
        found: list[dict[str, str]] = []
        for one in self._kept.values():
            if one.lineage == lineage and one.fingerprint not in found:
                found.append(one.fingerprint)
        return found

    def _snapshot(self, version: str) -> bytes:
        """For a reset. Raises ModelRefused."""
        found = self._kept.get(version)
        if found is None:
            raise ModelRefused(f"there is no checkpoint of {version}")
        return _checked(found, self.fetch(found.uri) or b"")

    def _deltas(self) -> Iterator[tuple[Origin, list[Delta]]]:
        for origin, parts in self._whole():
            yield origin, [codec.decode_data(Delta, codec.manifest(part)) for part in parts]

    def _whole(self) -> Iterator[tuple[Origin, list[bytes]]]:
        """Each delta of which all parts came, where its last part stands."""
        parts: dict[tuple[str, int, int], dict[int, bytes]] = defaultdict(dict)
        done: set[tuple[str, int, int]] = set()
        for record, found in self._decoded(topics.DELTA):
            if not isinstance(found, Delta) or (key := (found.lineage, found.a, found.b)) in done:
                continue
            parts[key].setdefault(found.part, record.value or b"")
            if len(parts[key]) == found.parts:
                done.add(key)
                yield record.origin, [part for _, part in sorted(parts.pop(key).items())]

    def _published(self, topic: Topic) -> Iterator[tuple[Origin, Data]]:
        return ((record.origin, found) for record, found in self._decoded(topic))

    def _decoded(self, topic: Topic) -> Iterator[tuple[Record, Data]]:
        """The model's readable records of ``topic``."""
        for record in self.books.all(topic):
            try:
                found = codec.decode(topic, record.headers, record.value).data
            except BadEvent:
                continue
            if getattr(found, "model", None) == self.books.model:
                yield record, found


def _checked(found: Checkpoint, content: bytes) -> bytes:
    """``content`` if it is what was published. Raises ModelRefused."""
    if len(content) != found.size:
        raise ModelRefused(f"the blob of {found.version} has {len(content):,} bytes, its event says {found.size:,}")
    if (seen := hashlib.sha256(content).hexdigest()) != found.sha256:
        raise ModelRefused(f"the blob of {found.version} has the sha256 {seen}, its event says {found.sha256}")
    return content
