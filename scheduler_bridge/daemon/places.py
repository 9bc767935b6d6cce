"""Where a scheduler keeps its state, and what its host is called."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Mapping
from pathlib import Path

from scheduler_bridge.daemon.mark import installation_of
from scheduler_bridge.errors import BridgeError

COMMON = Path("/var/lib/scheduler-bridge")
PRIVATE = 0o700
LOCALHOST = "localhost"


def state_folder(config: Path, environment: Mapping[str, str], home: str, *, root: bool) -> Path:
    """The folder for the embedded broker and for files, one for each configuration folder; absolute.

    SCHEDULER_BRIDGE_STATE, else what systemd offers (STATE_DIRECTORY), else below /var/lib where `root` starts the
    scheduler or has started it before, else below the user's `home`.
    """
    if given := environment.get("SCHEDULER_BRIDGE_STATE", "").strip():
        return Path(given).absolute()
    if offered := environment.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(offered)
    common = COMMON / installation_of(config)
    if root or os.access(common, os.W_OK | os.X_OK):
        return common
    return Path(home) / ".local" / "state" / COMMON.name / common.name


def make_state_folder(folder: Path, uid: int, gid: int) -> None:
    """Make it, and what is missing above it, for that user alone. Raises BridgeError.

    A folder that is there is not changed: it may serve others as well.
    """
    try:
        for path in [path for path in (folder, *folder.parents) if not path.is_dir()][::-1]:
            # The common folder stays root's: only what is below it belongs to one user.
            path.mkdir(mode=0o755 if path == COMMON else PRIVATE)
            if path != COMMON and os.geteuid() == 0:
                os.chown(path, uid, gid, follow_symlinks=False)
    except OSError as error:
        raise BridgeError(f"{folder} cannot be made: {error.strerror}: set SCHEDULER_BRIDGE_STATE") from error


def require_state_folder(folder: Path) -> None:
    """Raise BridgeError unless this user may work there and nobody else may write."""
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise BridgeError(f"{folder} is not this user's: set SCHEDULER_BRIDGE_STATE to a folder that is")
    if folder.stat().st_mode & stat.S_IWOTH:
        raise BridgeError(
            f"everybody may write to {folder}: set SCHEDULER_BRIDGE_STATE to a folder of its own"
        )


def host_name(configured: Collection[str], machine: str) -> str:
    """This host's name: the only one of [HOSTS], else this machine's if it is there, else `localhost`."""
    if len(configured) == 1:
        return next(iter(configured))
    return machine if machine in configured else LOCALHOST
