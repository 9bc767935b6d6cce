"""What the command line asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT_FOLDER = Path("/usr/local/etc/fossology")


@dataclass(frozen=True, slots=True)
class Choices:
    """The options of `fo_scheduler`."""

    config: Path  # the configuration folder
    settings: Mapping[str, object]  # given by options, by the names of the settings
    daemon: bool = False
    log: str | None = None  # None: where the configuration says
    reset: bool = False
    test: bool = False
    verbosity: int = 0  # mask
