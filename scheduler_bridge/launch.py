"""Start a program that ends when its starter does; run as a script it becomes that program.

A child needs three things done between fork and exec: a session of its own, so that Ctrl-C in a terminal
reaches only the supervisor; a death signal, so that nothing is left behind when the supervisor is SIGKILLed;
and, for PostgreSQL started by root, another user. `preexec_fn` would run Python in a fork of a process with
threads, so a short-lived interpreter does it and then becomes the program: same pid, same open files.

The death signal is Linux's. It is sent when the *thread* that started the program ends, so programs are
started from the main thread. Elsewhere an orphan keeps its lock, and the next run is refused.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

NOBODY_ID = 65534
PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
LAUNCH_FAILED = 97  # exit status when the program could not be started


class Identity(Enum):
    """As whom a program runs."""

    SAME = "same"
    NAMESPACE = "namespace"  # root sees itself as uid 1000; files stay root's
    NOBODY = "nobody"  # root where user namespaces are forbidden, as in many containers


def launcher(command: Sequence[str], *, death_signal: int, identity: Identity = Identity.SAME) -> list[str]:
    """The command line that starts `command` as described above; to be spawned by the calling process."""
    return [
        sys.executable,
        "-I",
        "-S",
        __file__,
        str(os.getpid()),
        str(int(death_signal)),
        identity.value,
        *command,
    ]


def identity_for_postgres() -> Identity:
    """PostgreSQL refuses to run as root: as whom root starts it here."""
    if os.geteuid() != 0:
        return Identity.SAME
    probe = launcher([sys.executable, "-I", "-S", "-c", ""], death_signal=9, identity=Identity.NAMESPACE)
    allowed = sys.platform == "linux" and _succeeds(probe)
    return Identity.NAMESPACE if allowed else Identity.NOBODY


def _succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


def _enter_namespace(libc: ctypes.CDLL) -> None:
    if libc.unshare(CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "user namespaces are forbidden here")
    for name, text in (("setgroups", "deny"), ("uid_map", "1000 0 1"), ("gid_map", "1000 0 1")):
        Path("/proc/self", name).write_text(text, "ascii")


def _become(starter: int, death_signal: int, identity: Identity, command: list[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    os.setsid()
    if identity is Identity.NAMESPACE:
        _enter_namespace(libc)
    elif identity is Identity.NOBODY:
        os.setgroups([])
        os.setgid(NOBODY_ID)
        os.setuid(NOBODY_ID)
    if sys.platform == "linux":  # after any change of user, which would clear it
        libc.prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != starter:
            raise ProcessLookupError("the starter ended meanwhile")
    os.execvpe(command[0], command, os.environ)


if __name__ == "__main__":
    try:
        _become(int(sys.argv[1]), int(sys.argv[2]), Identity(sys.argv[3]), sys.argv[4:])
    except OSError as error:
        print(f"{sys.argv[4]}: {error}", file=sys.stderr, flush=True)
        os._exit(LAUNCH_FAILED)
