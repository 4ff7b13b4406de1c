"""What to do next is said where nobody answered, and nowhere else: who answered has said why."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException
from redis import exceptions

from schemas.errors import BrokerError, ConfigurationError, CurrereError, StoreUnavailable
from streams.advice import KAFKA, STORE, advised

ANSWERED = (
    (BrokerError, KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))),
    (StoreUnavailable, exceptions.OutOfMemoryError("OOM")),
    (StoreUnavailable, exceptions.AuthenticationError("WRONGPASS")),
    (StoreUnavailable, exceptions.BusyLoadingError("LOADING")),
    (ConfigurationError, exceptions.ConnectionError("no")),
)
SILENT = (
    (BrokerError, KafkaException(KafkaError(KafkaError._TRANSPORT)), KAFKA),
    (BrokerError, KafkaException(KafkaError(KafkaError._TIMED_OUT)), KAFKA),
    (StoreUnavailable, exceptions.ConnectionError("refused"), STORE),
    (StoreUnavailable, exceptions.TimeoutError("slow"), STORE),
)


@pytest.mark.parametrize(("kind", "cause"), ANSWERED)
def test_who_answered_has_said_why(kind: type[CurrereError], cause: Exception) -> None:
    error = kind("it failed")
    error.__cause__ = cause
    assert advised(error) == "it failed"


@pytest.mark.parametrize(("kind", "cause", "advice"), SILENT)
def test_where_nobody_answered_it_is_said_how_to_start_one(
    kind: type[CurrereError], cause: Exception, advice: str
) -> None:
    error = kind("it failed")
    error.__cause__ = cause
    assert advised(error).endswith(advice)


def test_an_error_of_our_own_says_itself_what_to_do() -> None:
    assert advised(BrokerError("start the other replicas")) == "start the other replicas"
