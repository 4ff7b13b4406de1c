"""The curate role from its settings."""

from __future__ import annotations

from learners.entry import MemorySettings
from schemas.errors import ConfigurationError
from streams.assembly import learning_of
from streams.curate import Curate
from streams.engines.shard import RoleAt
from streams.roles import ROLES
from streams.settings import Settings
from streams.table import Curation


def memory_of(settings: Settings) -> MemorySettings:
    """The memory's settings. Raises ConfigurationError."""
    try:
        return MemorySettings.preset(settings.memory_preset, **settings.memory)
    except (ConfigurationError, TypeError) as error:
        raise ConfigurationError(f"memory: {error}") from error


def curate_role(settings: Settings) -> RoleAt:
    """The curate role."""
    memory = memory_of(settings)
    curation = Curation(
        model=settings.model,
        learning=learning_of(settings),
        memory=memory,
        consent=settings.consent,
        new=settings.new_per_request,
        replayed=settings.replayed_per_request if memory.replay is None else memory.replay,
        wait_s=settings.request_wait_s,
        horizon_s=settings.horizon_s,
        probe=settings.probe_size,
    )
    role = ROLES["curate"]
    return RoleAt(settings.tenant, role.name, role.inputs, role.outputs, Curate(curation))
