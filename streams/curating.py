"""The curate role from its settings."""

from __future__ import annotations

from learners.entry import MemorySettings
from schemas.errors import ConfigurationError
from streams.assembly import learning_of
from streams.curate import Curate, Curation
from streams.engines.shard import RoleAt
from streams.roles import ROLES
from streams.settings import Settings


def memory_of(settings: Settings) -> MemorySettings:
    """The memory's settings. Raises ConfigurationError."""
    try:
        return MemorySettings(**settings.memory)  # type: ignore[arg-type]  # from TOML or the environment
    except TypeError as error:
        raise ConfigurationError(f"memory: {error}") from error


def curate_role(settings: Settings) -> RoleAt:
    """The curate role."""
    curation = Curation(
        settings.model,
        learning_of(settings),
        memory_of(settings),
        settings.consent,
        settings.new_per_request,
        settings.replayed_per_request,
        settings.request_wait_s,
        settings.horizon_s,
    )
    role = ROLES["curate"]
    return RoleAt(settings.tenant, role.name, role.inputs, role.outputs, Curate(curation))
