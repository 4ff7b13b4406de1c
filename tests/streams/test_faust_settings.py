"""Settings of Faust's under which events would be lost, repeated or put out of order are refused, and say why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import pytest
from faust import SASLCredentials
from faust.types import TP

from schemas.errors import ConfigurationError
from streams.engines.engine import EngineSettings
from streams.engines.faust_app import RoleApp
from streams.engines.faust_settings import DEMANDS, FREE, Demand, check, credentials, options

GROUP, ADDRESS = "currere-t-session", "a:9092,b:9093"
WRONG = {
    "concurrency": 4,
    "processing_guarantee": "exactly_once",
    "stream_wait_empty": False,
    "stream_publish_on_commit": True,
    "consumer_auto_offset_reset": "latest",
    "broker_check_crcs": False,
    "producer_acks": 1,
    "store": "rocksdb://",
    "topic_disable_leader": False,
}


class Nobody:
    """An owner of nothing."""

    sought: Counter[int] = Counter()

    def polled(self) -> None:
        """Nothing is asked for."""

    def assigned(self, places: Iterable[TP]) -> None:
        """Nothing is given."""

    def left_retention(self, place: TP, offset: int) -> None:
        """Nothing is read."""

    def holds_back(self, partition: int) -> bool:
        """Nothing is held."""
        return False

    async def let_go(self) -> None:
        """Nothing is at work."""


def app(given: Mapping[str, object] | None = None, **polls: object) -> RoleApp:
    settings = EngineSettings(GROUP, **polls)  # type: ignore[arg-type]  # a test's own choice
    return RoleApp(GROUP, Nobody(), **options(settings, ADDRESS, given or {}))


def test_what_is_demanded_is_in_force_when_nothing_is_said() -> None:
    check(app().conf, ADDRESS)


@pytest.mark.parametrize("demand", DEMANDS, ids=lambda demand: demand.name)
def test_a_setting_that_would_harm_is_refused_with_the_reason(demand: Demand) -> None:
    with pytest.raises(ConfigurationError) as refused:
        app({demand.name: WRONG[demand.name]})
    assert demand.name in str(refused.value)
    assert demand.why in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PROCESSING_GUARANTEE", "exactly_once"),
        ("STREAM_WAIT_EMPTY", "no"),
        ("CONSUMER_AUTO_OFFSET_RESET", "latest"),
        ("BROKER_CHECK_CRCS", "no"),
        ("BROKER_URL", "confluent://a:9092"),
        ("BROKER_URL", "kafka://elsewhere:9092"),
    ],
)
def test_what_faust_s_environment_changes_is_seen(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=variable):
        check(app().conf, ADDRESS)


def test_a_team_may_be_more_or_less_patient() -> None:
    assert "broker_request_timeout" in FREE
    assert app({"broker_request_timeout": 33.0}).conf.broker_request_timeout == 33.0


def test_what_the_engine_decides_itself_is_not_a_team_s_to_set() -> None:
    with pytest.raises(ConfigurationError, match="value_serializer"):
        app({"value_serializer": "json"})


def test_the_new_group_protocol_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="classic"):
        app(group_protocol="consumer", session_timeout_ms=None)


def test_the_session_timeout_of_the_settings_is_faust_s() -> None:
    assert app(session_timeout_ms=7_000).conf.broker_session_timeout == 7.0


def test_sasl_is_passed_on() -> None:
    found = credentials(
        {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "currere",
            "sasl.password": "secret",
        }
    )
    assert isinstance(found, SASLCredentials)
    assert (found.protocol.value, found.mechanism.value) == ("SASL_SSL", "SCRAM-SHA-512")
    assert (found.username, found.password) == ("currere", "secret")
    assert found.ssl_context is not None


def test_without_security_there_are_no_credentials() -> None:
    assert credentials({}) is None


def test_an_option_of_librdkafka_s_that_faust_cannot_honour_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"queued\.min\.messages"):
        credentials({"queued.min.messages": "5"})
