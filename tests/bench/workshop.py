"""What every scenario stands on: a folder that goes in the end, the trivial agent, its configuration."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import Figures

PROJECT = Path(__file__).parents[2]
SOURCES = Path(__file__).with_name("agents")
AGENT_TYPE = "trivial"
OWN_NAMES = ("DATABASE_URL", "REDIS_URL", "PORT", "SCHEDULER_BRIDGE_", "FO_SYSCONFDIR", "FLOWER_", "CELERY_")


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where a bench works."""

    folder: Path  # on a disk: fsync must mean something
    configuration: Path  # mods-enabled/trivial and nothing else: no limit, no flag
    program: Path  # the trivial agent
    language: str  # "c", or "sh" where there is no C compiler: then its own start-up is its work

    def new_folder(self, name: str) -> Path:
        """A folder for one set of servers."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))

    def environment(self) -> dict[str, str]:
        """The caller's, without whatever it says about a fleet of its own."""
        return {name: value for name, value in os.environ.items() if not name.startswith(OWN_NAMES)}

    def facts(self) -> Figures:
        """What the figures depend on."""
        return {
            "agent": self.language,
            "cores": os.cpu_count() or 1,
            "load_before": round(
                os.getloadavg()[0], 2
            ),  # by others: more than a few percent and nothing holds
        }


@contextmanager
def workshop() -> Iterator[Workshop]:
    """A workshop for one bench, in the folder where the project keeps its servers: /tmp is often memory."""
    parent = Path(os.environ.get("SCHEDULER_BRIDGE_STATE") or PROJECT / ".scheduler-bridge")
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=parent) as name:
        folder = Path(name)
        agent_folder = folder / "configuration" / "mods-enabled" / AGENT_TYPE / "agent"
        agent_folder.mkdir(parents=True)
        (agent_folder.parent / f"{AGENT_TYPE}.conf").write_text(
            f"[default]\ncommand = {AGENT_TYPE}\nmax = -1\nspecial[] =\n"
        )
        program = agent_folder / AGENT_TYPE
        yield Workshop(folder, folder / "configuration", program, _build(program))


def _build(program: Path) -> str:
    compiler = shutil.which("cc")
    if compiler and not subprocess.call([compiler, "-O2", "-o", program, SOURCES / "trivial.c"]):
        return "c"
    shutil.copy(SOURCES / "trivial.sh", program)
    program.chmod(0o755)
    return "sh"
