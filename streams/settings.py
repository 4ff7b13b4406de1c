"""Every setting of a running system, once: ``CURRERE_`` environment variables over ``currere.toml`` over defaults."""

from __future__ import annotations

import os
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from schemas.errors import ConfigurationError
from schemas.topics import JOIN_HORIZON_DAYS
from streams.changes import check_names
from streams.failpoints import ENVIRONMENT

PREFIX = "CURRERE_"
FILE = "currere.toml"


class Settings(BaseSettings):
    """All settings. Addresses have no default: what is not configured is embedded by ``currere demo`` only."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", toml_file=FILE, frozen=True)

    kafka: str = Field("127.0.0.1:9092", description="bootstrap servers")
    kafka_options: dict[str, str] = Field({}, description="passed to librdkafka as they are: TLS, SASL")
    kafka_replication: int = Field(1, ge=1, description="replication factor of topics that are created")
    redis: str = Field("redis://127.0.0.1:6379/0", description="URL; rediss:// for TLS")
    redis_cluster: bool = Field(False, description="whether Redis is a cluster")
    redis_replicas: int = Field(0, ge=0, description="replicas that must hold a taken token before its owner goes on")
    blobs: str = Field("file://./blobs", description="where snapshots lie: file://DIR or s3://BUCKET/PATH")
    tenant: str = Field("default", description="prefixes every Redis key, model and blob path")
    model: str = Field("default", description="name of the model")
    partitions: int = Field(4, ge=1, description="of per-session topics; fixed once made")
    tasks: Path | None = Field(None, description="TOML file of tasks, or task sets by name")
    task_names: tuple[str, ...] | None = Field(None, description="those of the tasks to learn; default: all")
    consent: Literal["opt-out", "opt-in"] = Field("opt-out", description="learn unless refused, or only if granted")
    horizon_days: float = Field(JOIN_HORIZON_DAYS, gt=0, description="how long feedback and interaction wait, days")
    engine: Literal["kafka", "faust"] = Field("kafka", description="what polls: faust needs the extra of that name")
    faust_options: dict[str, object] = Field({}, description="settings of Faust's own, where they lose nothing")
    group_protocol: Literal["classic", "consumer"] = Field("classic", description="consumer: KIP-848, Kafka 4")
    session_timeout_ms: int | None = Field(None, description="classic protocol only; default 10,000 ms")
    instance: str | None = Field(None, description="static group member; keeps its partitions through a restart")
    batch: int = Field(500, ge=1, description="records a processor decides at once")
    new_per_request: int = Field(32, ge=1, description="new examples in a train request")
    replayed_per_request: int = Field(32, ge=0, description="replayed examples in a train request")
    request_wait_s: float = Field(0.25, ge=0, description="longest wait for a train request to fill, seconds")
    delta_s: float = Field(0.3, gt=0, description="shortest time between deltas, seconds")
    delta_bytes_per_s: float = Field(6e6, gt=0, description="bound on what deltas may take, bytes a second")
    snapshot_steps: int = Field(500, ge=1, description="steps between snapshots")
    snapshot_minutes: float = Field(5.0, gt=0, description="longest time between snapshots, minutes")
    shed_after_s: float = Field(
        2.0, ge=0, description="optional work is left out once events are older, seconds; 0: never"
    )
    poison_limit: int = Field(10, ge=0, description="of a partition's last 1,000 records, those led aside as poison")
    stall_s: float = Field(60.0, gt=0, description="standing still with lag for longer is not healthy, seconds")
    metrics_host: str = Field("127.0.0.1", description="where /metrics and /healthz listen")
    metrics_port: int | None = Field(
        None, description="port of /metrics and /healthz; none: not served by a single role"
    )
    learning: dict[str, object] = Field({}, description="settings of learners.settings.LearningSettings, for a genesis")
    probe_size: int = Field(200, ge=0, description="examples set aside at first, never learned from; 0: none")
    memory_preset: Literal["default", "mission"] = Field("default", description="what memory.* changes")
    memory: dict[str, object] = Field({}, description="settings of learners.entry.MemorySettings")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments over environment over file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def horizon_s(self) -> float:
        """The join horizon in seconds."""
        return self.horizon_days * 86_400.0


def load(**overrides: object) -> Settings:
    """The settings in force. Overrides that are None are left out.

    Raises:
        ConfigurationError: an unknown key, a value out of range, or settings that contradict one another.
    """
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {ENVIRONMENT}
    unknown = sorted(n for n in os.environ if n.startswith(PREFIX) and n not in known and "_TEST_" not in n)
    if unknown:
        raise _unknown(unknown[0], "the environment", known)
    try:
        settings = Settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "settings"
        if first["type"] == "extra_forbidden" and where not in overrides:
            raise _unknown(where, FILE, Settings.model_fields) from error
        raise ConfigurationError(f"{where}: {first['msg']}; `currere settings` lists all") from error
    except SettingsError as error:
        raise ConfigurationError(f"{error}; it is JSON in the environment") from error
    except (TOMLDecodeError, OSError) as error:
        raise ConfigurationError(f"{FILE} cannot be read: {error}") from error
    check_names("learning", settings.learning)
    check_names("memory", settings.memory)
    if settings.group_protocol == "consumer" and settings.session_timeout_ms is not None:
        raise ConfigurationError("session_timeout_ms is the broker's under group_protocol=consumer; leave it out")
    return settings


def _unknown(name: str, where: str, known: Iterable[str]) -> ConfigurationError:
    near = get_close_matches(name, known, n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return ConfigurationError(f"unknown setting {name} in {where}{meant}; `currere settings` lists all")
