"""A supervisor for the tests to signal: `python -m tests.integration.supervise PROCFILE GRACE_SECONDS`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from scheduler_bridge.output import Console
from scheduler_bridge.procfile import read_procfile
from scheduler_bridge.supervisor import Supervisor


def main(procfile: Path, grace_seconds: float) -> None:
    """Run until a signal comes."""
    parts = read_procfile(procfile)
    with Supervisor(
        parts, os.environ, Console(), folder=procfile.parent, grace_seconds=grace_seconds
    ) as running:
        running.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
