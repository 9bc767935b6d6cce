"""The options of the whole command line. What they lead to is in `cli.context`, which takes much longer to import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click


@dataclass(frozen=True, slots=True)
class Options:
    """What the group was given; None: see the environment."""

    config: Path | None
    database_url: str | None
    redis_url: str | None

    def given(self) -> dict[str, object]:
        """By the names of the settings."""
        return {
            "config_folder": self.config,
            "database_url": self.database_url,
            "redis_url": self.redis_url,
        }


pass_options = click.make_pass_decorator(Options)
