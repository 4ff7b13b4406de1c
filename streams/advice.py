"""What to do when Kafka or the store does not answer: said by the doctor, and by every command that ends with it."""

from __future__ import annotations

from schemas.errors import BrokerError, CurrereError, StoreUnavailable

KAFKA = (
    "`make kafka` in a checkout starts one; --kafka or the setting kafka names yours, kafka_options its TLS and SASL"
)
STORE = "`make redis` in a checkout starts one; --redis or the setting redis names yours"
DOCTOR = "`currere doctor` says what is wrong"


def advised(error: CurrereError) -> str:
    """The message of ``error``; where nobody answered, what to do next ends it."""
    cause = error.__cause__
    if isinstance(error, BrokerError) and cause is not None and _no_broker(cause):
        return f"{error}; {DOCTOR}; {KAFKA}"
    if isinstance(error, StoreUnavailable) and cause is not None and _no_store(cause):
        return f"{error}; {DOCTOR}; {STORE}"
    return str(error)


def _no_broker(cause: BaseException) -> bool:
    from confluent_kafka import KafkaError, KafkaException  # here: most commands end well, and need not import it

    silent = (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE, KafkaError._TIMED_OUT)
    return isinstance(cause, KafkaException) and cause.args[0].code() in silent


def _no_store(cause: BaseException) -> bool:
    from redis import exceptions

    answered = (exceptions.AuthenticationError, exceptions.BusyLoadingError)  # redis-py calls these connection errors
    return isinstance(cause, exceptions.ConnectionError | exceptions.TimeoutError) and not isinstance(cause, answered)
