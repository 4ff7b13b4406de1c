"""Where snapshots lie: a local directory or an object store, by URL."""

from __future__ import annotations

import hashlib
from pathlib import Path

from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, S3Store

from schemas.errors import ConfigurationError, CurrereError

FAULTS = (BaseError, OSError, ValueError)  # a path that cannot be is obstore's ValueError


class BlobUnavailable(CurrereError):
    """The blob store did not take or give a blob; nothing half-written is left behind."""


class Blobs:
    """Immutable blobs under ``url`` (``file://DIR`` or ``s3://BUCKET/PREFIX``; S3 credentials from the environment)."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        scheme, _, rest = self.url.partition("://")
        self._prefix = ""
        self._store: ObjectStore
        if scheme == "file":
            try:
                self._store = LocalStore(Path(rest).absolute(), mkdir=True)
            except (BaseError, OSError) as error:
                raise ConfigurationError(f"blobs is {url!r}: {_short(error)}; name a folder to write to") from error
        elif scheme == "s3":
            bucket, _, prefix = rest.partition("/")
            self._store, self._prefix = S3Store(bucket), f"{prefix}/" if prefix else ""
        else:
            raise ConfigurationError(f"blobs is {url!r}; expected file://DIR or s3://BUCKET/PREFIX")

    def put(self, path: str, content: bytes) -> str:
        """Store ``content`` whole or not at all; returns its URI. Raises BlobUnavailable."""
        try:
            self._store.put(f"{self._prefix}{path}", content)
        except FAULTS as error:
            why = f"{self.url}/{path} was not stored: {_short(error)}; free space or check access"
            raise BlobUnavailable(why) from error
        return f"{self.url}/{path}"

    def get(self, uri: str, size: int, sha256: str) -> bytes:
        """The blob at ``uri``, checked. Raises BlobUnavailable: absent, torn, or other content."""
        if not uri.startswith(f"{self.url}/"):
            raise BlobUnavailable(f"{uri} does not lie under {self.url}; point the setting `blobs` at its store")
        content = self._read(uri)
        if len(content) != size:
            raise BlobUnavailable(f"{uri} has {len(content):,} bytes, its event says {size:,}")
        if hashlib.sha256(content).hexdigest() != sha256:
            raise BlobUnavailable(f"{uri} has another sha256 than its event says")
        return content

    def look(self, uri: str) -> bytes | None:
        """What lies at ``uri``, whatever it is; None if nothing does. Raises BlobUnavailable: it cannot be known."""
        try:
            return self._read(uri)
        except BlobUnavailable as error:
            if isinstance(error.__cause__, FileNotFoundError) or not uri.startswith(f"{self.url}/"):
                return None
            raise

    def size(self, uri: str) -> int | None:
        """How many bytes lie at ``uri``; None if nothing does, or it is of another store. Raises BlobUnavailable."""
        if not uri.startswith(f"{self.url}/"):
            return None
        try:
            return int(self._store.head(f"{self._prefix}{uri.removeprefix(self.url + '/')}")["size"])
        except FileNotFoundError:
            return None
        except FAULTS as error:
            raise BlobUnavailable(f"{uri}: {_short(error)}") from error

    def _read(self, uri: str) -> bytes:
        try:
            return bytes(self._store.get(f"{self._prefix}{uri.removeprefix(self.url + '/')}").bytes())
        except FAULTS as error:
            raise BlobUnavailable(f"{uri}: {_short(error)}") from error

    def delete(self, uri: str) -> None:
        """Remove the blob at ``uri``; it may be absent. Raises BlobUnavailable."""
        try:
            self._store.delete(f"{self._prefix}{uri.removeprefix(self.url + '/')}")
        except FileNotFoundError:
            return
        except FAULTS as error:
            raise BlobUnavailable(f"{uri} was not removed: {_short(error)}") from error


def _short(error: Exception) -> str:
    """What went wrong, without obstore's account of its own structures."""
    return str(error).partition("\n")[0]
