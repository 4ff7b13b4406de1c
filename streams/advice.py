"""What to do when Kafka or the store does not answer: said by the doctor, and by every command that ends with it."""

from __future__ import annotations

from schemas.errors import BrokerError, CurrereError, StoreUnavailable

KAFKA = (
    "`make kafka` in a checkout starts one; --kafka or the setting kafka names yours, kafka_options its TLS and SASL"
)
STORE = "`make redis` in a checkout starts one; --redis or the setting redis names yours"
DOCTOR = "`currere doctor` says what is wrong"


def advised(error: CurrereError) -> str:
    """The message of ``error``; where a server or its client failed, what to do next ends it.

    Such an error has a cause, the client's own. Without one it is ours, and its message ends so already.
    """
    servers = ((BrokerError, KAFKA), (StoreUnavailable, STORE))
    named = next((advice for kind, advice in servers if isinstance(error, kind)), "") if error.__cause__ else ""
    return f"{error}; {DOCTOR}; {named}" if named else str(error)
