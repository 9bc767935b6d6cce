"""Agents whose worker has died: found by the mark that it left in their environment, and killed.

A worker that is SIGKILLed cannot end its agents. They, and all they have started, carry its mark (`model.mark`),
whatever group, session or parent they have by then. Each is killed together with its process group, again and
again until no new one appears.

All of this reads /proc. Where there is none, as on macOS, or where it shows another pid namespace than ours,
nothing is found and nothing is killed: there orphans end when they notice that nobody reads them. Out of reach is
a program that hides its environment (another user's, one that has overwritten or cleared it) and has left the
group of those that do not.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scheduler_bridge.model.mark import Life, Mark, Stat, read_mark, read_stat

PR_SET_CHILD_SUBREAPER = 36
PROC = Path("/proc")
KILL_SECONDS = 5.0  # one that is still there then sits in the kernel; the next pass finds it again
PEEK_SECONDS = 0.01  # between two looks where the kernel offers no pidfd

Wanted = Callable[[Mark], bool]


@dataclass(frozen=True, slots=True)
class Orphan:
    """A process that carries a mark."""

    life: Life
    mark: Mark

    def __str__(self) -> str:
        return f"process {self.life.pid}, an agent's of {self.mark.owner}"


def life_of(pid: int) -> Life | None:
    """The present life of a process; None when it has none, or where nothing can be known about it."""
    namespace, stat = _namespace(), _stat(pid)
    return Life(namespace, pid, stat.started) if namespace is not None and stat is not None else None


def has_ended(life: Life) -> bool:
    """Whether that process is certainly no more; one that cannot be looked at may live."""
    if life.namespace != _namespace():
        return False
    stat = _stat(life.pid)
    return not _exists(life.pid) or (stat is not None and stat.started != life.started)


def of_dead_workers(installation: str) -> Wanted:
    """Marks of workers of this installation and pid namespace that live no more, whatever their host's name."""
    known: dict[Life, bool] = {}  # many agents have one worker

    def wanted(mark: Mark) -> bool:
        if mark.installation != installation:
            return False
        if mark.worker not in known:
            known[mark.worker] = has_ended(mark.worker)
        return known[mark.worker]

    return wanted


def kill_orphans(wanted: Wanted) -> list[Orphan]:
    """Kill every process whose mark is `wanted`, until none is left; those that were killed.

    A look at 500 processes takes 10 ms. Returns after KILL_SECONDS at the latest.
    """
    killed: dict[Life, Orphan] = {}
    deadline = time.monotonic() + KILL_SECONDS
    while found := _find(wanted):
        for orphan in found:
            _kill(orphan, {one.life.pid for one in found})
        killed |= {orphan.life: orphan for orphan in found}
        for orphan in found:
            _await_end(orphan.life, deadline - time.monotonic())
        if time.monotonic() >= deadline:
            break
    return list(killed.values())


def children() -> dict[int, Stat]:
    """This process' children, dead ones that nobody has reaped among them."""
    if _namespace() is None:
        return {}
    stats = {pid: _stat(pid) for pid in pids()}
    return {pid: stat for pid, stat in stats.items() if stat is not None and stat.parent == os.getpid()}


def reap_adopted(own: Collection[int]) -> None:
    """Let go of dead children other than our `own`; nobody here will ask how they ended."""
    if not _has_dead_child():
        return
    for pid, stat in children().items():
        if stat.dead and pid not in own:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def adopt_orphans(adopt: bool) -> None:
    """Whether our descendants become our children when their parents die; only on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(adopt), *[ctypes.c_ulong(0)] * 3)


def _has_dead_child() -> bool:
    """Asked first, since it costs one call whatever the number of processes."""
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False


def _find(wanted: Wanted) -> list[Orphan]:
    """Processes with such a mark that are not dead; never our own."""
    namespace = _namespace()
    found = []
    for pid in pids() if namespace is not None else ():
        mark = read_mark(environ_of(pid))
        if mark is not None and pid != os.getpid() and wanted(mark):
            life = life_of(pid)
            # Read once more: the number may have been given away between the two looks.
            if life is not None and not has_ended(life) and read_mark(environ_of(pid)) == mark:
                found.append(Orphan(life, mark))
    return found


def _kill(orphan: Orphan, orphans: Collection[int]) -> None:
    """SIGKILL to its group, which no fork escapes, and to itself, wherever it has gone meanwhile."""
    pid = orphan.life.pid
    pidfd = open_pidfd(pid)
    try:
        if has_ended(orphan.life):
            return
        with suppress(ProcessLookupError, PermissionError):
            group = os.getpgid(pid)
            if _belongs_to(orphans, group):
                os.killpg(group, signal.SIGKILL)
        with suppress(ProcessLookupError, PermissionError):
            if pidfd is None:
                os.kill(pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    finally:
        if pidfd is not None:
            os.close(pidfd)


def _belongs_to(orphans: Collection[int], group: int) -> bool:
    """Whether a group is the orphans' own: an agent may have joined that of somebody who lives."""
    return group != os.getpgrp() and (group in orphans or not _exists(group))


def _await_end(life: Life, seconds: float) -> None:
    pidfd = open_pidfd(life.pid)
    if has_ended(life) or seconds <= 0:
        pass
    elif pidfd is None:
        time.sleep(min(PEEK_SECONDS, seconds))
    else:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll(seconds * 1000)
    if pidfd is not None:
        os.close(pidfd)


def _exists(pid: int) -> bool:
    """Whether a process has this number and is not dead; /proc may hide those of other users."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    stat = _stat(pid)
    return stat is None or not stat.dead


def open_pidfd(pid: int) -> int | None:
    """A descriptor of that very process; None where the kernel offers none, or it has gone."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _namespace() -> int | None:
    """Inode of our pid namespace; None where /proc does not show it."""
    try:
        if str(PROC.joinpath("self").readlink()) != str(os.getpid()):
            return None
        return PROC.joinpath("self/ns/pid").stat().st_ino
    except OSError:
        return None


def pids() -> Iterator[int]:
    """Of all processes that /proc shows."""
    with suppress(FileNotFoundError), os.scandir(PROC) as entries:
        for entry in entries:
            if entry.name.isascii() and entry.name.isdigit():
                yield int(entry.name)


def _stat(pid: int) -> Stat | None:
    return read_stat(_read(pid, "stat"))


def environ_of(pid: int) -> bytes:
    """What a process was started with; empty when it has ended or is not ours to look at."""
    return _read(pid, "environ")


def _read(pid: int, name: str) -> bytes:
    """A file of a process; empty when it has ended or is not ours to look at."""
    # No Path: pathlib interns the parts of each, and CPython 3.12 never frees what is interned: 90 bytes a process.
    try:
        with os.fdopen(os.open(f"{PROC}/{pid}/{name}", os.O_RDONLY), "rb") as file:
            return file.read()
    except OSError:
        return b""
