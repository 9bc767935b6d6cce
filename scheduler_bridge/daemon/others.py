"""Schedulers of one installation on this machine: found by their mark, signalled without hitting anybody else."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from scheduler_bridge.daemon.mark import VARIABLE, SchedulerMark, installation_of, read_scheduler_mark
from scheduler_bridge.errors import BridgeError
from scheduler_bridge.model.mark import Life
from scheduler_bridge.orphans import environ_of, has_ended, life_of, open_pidfd, pids


def own_mark(folder: Path) -> SchedulerMark:
    """The mark of this process as the scheduler of `folder`."""
    pid = os.getpid()
    # Where lives cannot be told, as on macOS, the number must do: this process keeps it over an exec.
    return SchedulerMark(installation_of(folder), life_of(pid) or Life(0, pid, 0))


def is_marked(folder: Path) -> bool:
    """Whether this process was started with its own mark, not with one that it inherited."""
    return os.environ.get(VARIABLE) == str(own_mark(folder))


def signal_schedulers(folder: Path, number: signal.Signals) -> list[int]:
    """Send a signal to every scheduler of the installation that we may signal; their pids. Needs /proc."""
    return [life.pid for life in schedulers(folder) if _send(life, number)]


def schedulers(folder: Path) -> list[Life]:
    """Those that run in our pid namespace, as far as we may look at them; never this process."""
    found = (_scheduler(pid, installation_of(folder)) for pid in pids() if pid != os.getpid())
    return [life for life in found if life is not None]


def require_alone(folder: Path) -> None:
    """Raise BridgeError where a scheduler of this folder runs that is older than this process.

    Of two that start together so only the younger one gives way.
    """
    own = own_mark(folder).life
    older = [life.pid for life in schedulers(folder) if (life.started, life.pid) < (own.started, own.pid)]
    if older:
        raise BridgeError(
            f"fo_scheduler already runs with {folder}, as process {older[0]}, and this host would get two workers:"
            f" end that one (fo_scheduler --shutdown --config {folder})"
        )


def _scheduler(pid: int, installation: str) -> Life | None:
    mark = read_scheduler_mark(environ_of(pid))
    # Only who carries his own life counts: by naming another's, a user could have root kill anybody.
    if mark is None or mark.installation != installation or mark.life.pid != pid:
        return None
    return mark.life if mark.life == life_of(pid) else None


def _send(life: Life, number: signal.Signals) -> bool:
    """Whether the signal was sent to that very process."""
    pidfd = open_pidfd(life.pid)
    try:
        if has_ended(life):
            return False
        if pidfd is None:
            os.kill(life.pid, number)
        else:  # opened before we looked: by now the number may belong to another process
            signal.pidfd_send_signal(pidfd, number)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        if pidfd is not None:
            os.close(pidfd)
    return True
