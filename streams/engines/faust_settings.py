"""What the Faust engine demands of Faust's settings, and why.

Faust lets environment variables (``PROCESSING_GUARANTEE``, ``STREAM_WAIT_EMPTY``, ``BROKER_URL``, ...) win over what a
program says, so what is checked is what is in force, not what was asked for. The reasons were read from
faust-streaming 0.15.3.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from faust import SASLCredentials, SSLCredentials
from faust.types.enums import ProcessingGuarantee
from faust.types.settings import Settings as Conf
from yarl import URL

from schemas.errors import ConfigurationError
from schemas.topics import MAX_MESSAGE_BYTES
from streams.engines.engine import EngineSettings
from streams.engines.faust_app import NoTables

FREE = frozenset(  # what a team may set: it changes how fast or how patient, never what is read
    {
        "broker_client_id",
        "broker_heartbeat_interval",
        "broker_max_poll_interval",
        "broker_max_poll_records",
        "broker_rebalance_timeout",
        "broker_request_timeout",
        "consumer_connections_max_idle_ms",
        "consumer_max_fetch_size",
        "consumer_metadata_max_age_ms",
        "stream_buffer_maxsize",
        "stream_recovery_delay",
    }
)
LIBRDKAFKA = frozenset(  # of ``kafka_options``, what has a meaning for Faust
    {
        "security.protocol",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.username",
        "sasl.password",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.key.password",
    }
)


@dataclass(frozen=True, slots=True)
class Demand:
    """A setting that must have one value, and what goes wrong otherwise."""

    name: str
    must: object
    why: str


DEMANDS = (
    Demand(
        "concurrency",
        1,
        "several actors take from one queue, so that a session's records overtake one another; Faust also commits past "
        "those still at work (faust-streaming/faust#606)",
    ),
    Demand(
        "processing_guarantee",
        ProcessingGuarantee.AT_LEAST_ONCE,
        "Faust's transactions cannot include the store; offsets and state would go apart",
    ),
    Demand("stream_wait_empty", True, "a partition would be given away in the middle of a batch"),
    Demand("stream_publish_on_commit", False, "outputs leave through the outbox, after the store's commit"),
    Demand(
        "consumer_auto_offset_reset",
        "none",
        "what left retention would be skipped without a word; a partition begins at the offset in the store",
    ),
    Demand("broker_check_crcs", True, "bytes damaged on their way would be taken for what was sent"),
    Demand("producer_acks", -1, "an output that only one broker has is lost with it"),
    Demand("store", URL("memory://"), "state is in Redis, in the same commit as the offsets"),
    Demand("topic_disable_leader", True, "Faust would add a topic of its own to the group"),
)


def options(settings: EngineSettings, address: str, given: Mapping[str, object]) -> dict[str, Any]:
    """What ``faust.App`` is told: what is demanded, what ``settings`` say, what a team may choose.

    Raises:
        ConfigurationError: ``given`` holds what loses or repeats events, or what this engine decides itself.
    """
    if settings.group_protocol != "classic":
        raise ConfigurationError("engine = faust speaks the classic group protocol only; set group_protocol = classic")
    for demand in DEMANDS:
        if demand.name in given and given[demand.name] != demand.must:
            raise refusal(demand, given[demand.name])
    demanded = {demand.name for demand in DEMANDS}
    if strange := sorted(set(given) - FREE - demanded):
        raise ConfigurationError(
            f"faust_options: {strange[0]} is not yours to set; these are: {', '.join(sorted(FREE))}"
        )
    session_s = (settings.session_timeout_ms or 10_000) / 1_000
    return {
        "broker": [URL(f"kafka://{server}") for server in address.split(",")],
        "broker_session_timeout": session_s,
        "broker_heartbeat_interval": min(3.0, session_s / 3),
        "broker_max_poll_records": settings.batch,
        "consumer_group_instance_id": settings.instance,
        "consumer_max_fetch_size": MAX_MESSAGE_BYTES,
        "consumer_metadata_max_age_ms": int(settings.refresh_s * 1_000),
        "stream_buffer_maxsize": settings.batch,
        "key_serializer": "raw",
        "value_serializer": "raw",
        "TableManager": NoTables,
        "web_enabled": False,
        "autodiscover": False,
        **{name: value for name, value in given.items() if name in FREE},
        **{demand.name: demand.must for demand in DEMANDS if demand.name in Conf.SETTINGS},
    }


def check(conf: Conf, address: str) -> None:
    """Raise ConfigurationError if what is in force differs from what is demanded."""
    for demand in DEMANDS:
        if demand.name in Conf.SETTINGS and (found := getattr(conf, demand.name)) != demand.must:
            raise refusal(demand, found)
    wanted = [URL(f"kafka://{server}") for server in address.split(",")]
    if strange := [url for url in conf.broker_consumer if url not in wanted]:
        raise ConfigurationError(
            f"Faust would read from {strange[0]} (BROKER_URL in the environment?) instead of kafka://{address}; only "
            "kafka:// is served, and confluent:// consumes nothing"
        )
    if conf.broker_session_timeout > conf.broker_request_timeout:
        raise ConfigurationError("faust_options: broker_request_timeout is shorter than the session timeout")


def refusal(demand: Demand, found: object) -> ConfigurationError:
    """What to say of a setting that is not as demanded."""
    variable = demand.name in Conf.SETTINGS and Conf.SETTINGS[demand.name].env_name
    hint = f" (as an environment variable: {variable})" if variable else ""
    return ConfigurationError(f"engine = faust with {demand.name} = {found!r}{hint}: {demand.why}; leave it out")


def credentials(security: Mapping[str, str]) -> SASLCredentials | SSLCredentials | None:
    """The TLS and SASL of ``kafka_options``, as Faust takes them. Raises ConfigurationError."""
    if strange := sorted(set(security) - LIBRDKAFKA):
        raise ConfigurationError(f"kafka_options: engine = faust cannot honour {strange[0]}; engine = kafka does")
    protocol = security.get("security.protocol", "plaintext").upper()
    context = _tls(security) if protocol in ("SSL", "SASL_SSL") else None
    if protocol in ("SASL_SSL", "SASL_PLAINTEXT"):
        return SASLCredentials(
            username=security.get("sasl.username"),
            password=security.get("sasl.password"),
            mechanism=security.get("sasl.mechanism") or security.get("sasl.mechanisms") or "PLAIN",
            ssl_context=context,
        )
    return SSLCredentials(context) if context else None


def _tls(security: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=security.get("ssl.ca.location"))
    if certificate := security.get("ssl.certificate.location"):
        context.load_cert_chain(certificate, security.get("ssl.key.location"), security.get("ssl.key.password"))
    return context
