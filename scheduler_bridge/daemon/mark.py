"""Which installation a process is the scheduler of: a mark in its own environment that no other process can have.

The mark names the configuration folder and the life of the process that carries it. What that process starts
inherits the mark, but not the life, so it is never taken for the scheduler; nor is a process that is given the
same number later.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from scheduler_bridge.model.mark import Life

VARIABLE = "FO_SCHEDULER_LIFE"

_KEY = VARIABLE.encode() + b"="
_MARK = re.compile(
    rb"(?:\A|\0)" + _KEY + rb"([0-9a-f]{16})/([0-9]{1,19})/([1-9][0-9]{0,6})/([0-9]{1,18})(?:\0|\Z)"
)


@dataclass(frozen=True, slots=True)
class SchedulerMark:
    """The value of the variable."""

    installation: str  # 16 hexadecimal digits, the same for all who name the same configuration folder
    life: Life

    def __str__(self) -> str:
        return f"{self.installation}/{self.life.namespace}/{self.life.pid}/{self.life.started}"


def installation_of(folder: Path) -> str:
    """Tells one configuration folder from all others of this machine, whatever links lead to it."""
    return hashlib.sha256(bytes(folder.resolve())).hexdigest()[:16]


def read_scheduler_mark(environ: bytes) -> SchedulerMark | None:
    """The mark in the content of /proc/PID/environ; None where there is none or a garbled one."""
    found = _MARK.search(environ) if _KEY in environ else None
    if found is None:
        return None
    installation, namespace, pid, started = found.groups()
    return SchedulerMark(installation.decode(), Life(int(namespace), int(pid), int(started)))
