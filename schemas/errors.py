"""Every error of this project, as one small tree.

CurrereError
├── BadEvent               a record that is no event of the type its topic promises; ends as a dead letter
│   ├── UndecodableEvent   bytes, headers or fields are wrong
│   ├── UnknownVersion     a major version that this code does not know
│   ├── TooLarge           more bytes than a value may have
│   └── UnusableEvent      well-formed, but it names a task, class or time that cannot be
├── StoreError
│   ├── Refused            another owner has taken this partition, or the offsets moved on
│   └── StoreUnavailable   the store does not answer; nothing was committed
├── BrokerError            the broker refused or does not answer
│   ├── OffsetOutOfRange   records between the stored offset and the log's start have left retention
│   └── PartitionsChanged  a topic's partition count is not what it was when its state was made
├── TooManyPoisons         records end each process, more than may be led aside; the partition stands
├── ModelRefused           a snapshot or delta failed its checks; the last good model keeps serving
└── ConfigurationError     a setting is unknown, out of range or contradicts another
"""

from __future__ import annotations


class CurrereError(Exception):
    """The root of the tree. The message says where, why and what to do next."""


class BadEvent(CurrereError):
    """A record that cannot be used; ``reason`` is the dead letter's reason, a short stable word."""

    reason = "bad-event"

    def __init__(self, detail: str, reason: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        if reason is not None:
            self.reason = reason


class UndecodableEvent(BadEvent):
    """The bytes or headers are no event of the type their topic promises; they are in the topic's dead letters."""

    reason = "undecodable"


class UnknownVersion(BadEvent):
    """The event's major version is not one that this code reads; upgrade the reader, then retry the dead letter."""

    reason = "unknown-version"


class TooLarge(BadEvent):
    """The value has more bytes than ``topics.MAX_VALUE_BYTES``."""

    reason = "too-large"


class UnusableEvent(BadEvent):
    """A well-formed event that names a task, a class or a time that cannot be."""

    reason = "unusable"


class StoreError(CurrereError):
    """The store did not do what was asked."""


class Refused(StoreError):
    """The stored token or offsets are not the caller's: another owner is at work. Nothing was written; assign anew."""


class StoreUnavailable(StoreError):
    """The store does not answer. Nothing is known to be written; assign anew once it answers."""


class BrokerError(CurrereError):
    """The broker refused or does not answer."""


class OffsetOutOfRange(BrokerError):
    """Records between the stored offset and the log's start have left retention: this partition stops, never skips."""


class PartitionsChanged(BrokerError):
    """A topic has another partition count than its state was made for; growth is a new topic generation."""


class TooManyPoisons(CurrereError):
    """The next record ends each process, and as many as may be were led aside; the partition stands."""


class ModelRefused(CurrereError):
    """A snapshot or a delta failed its checks; the last good model keeps serving."""


class ConfigurationError(CurrereError):
    """A setting is unknown, out of range or contradicts another."""
