"""What of a worker's environment its agents may see: not the broker, the monitor, nor how the worker itself runs."""

from __future__ import annotations

from collections.abc import Mapping

from scheduler_bridge.settings import PREFIX, TABLE

# An agent's database and configuration, and where files are: what agents and those who write them count on.
FOR_AGENTS_TOO = frozenset({"DATABASE_URL", "FO_SYSCONFDIR", PREFIX + "STATE", PREFIX + "REPOSITORY"})
OURS = frozenset(name for setting in TABLE for name in setting.environment) - FOR_AGENTS_TOO
BEGINNINGS = ("REDIS_", "FLOWER_", "CELERY_")  # what our processes read beside the settings
BROKER_ADDRESSES = ("redis://", "rediss://")  # platforms give the broker under names of their own as well


def shown_to_agents(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what only our own processes need."""
    return {
        name: value
        for name, value in environment.items()
        if name not in OURS and not name.startswith(BEGINNINGS) and not value.startswith(BROKER_ADDRESSES)
    }
