"""What the agents have written down themselves: who worked on which job, from when to when."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

GONE = (None, psutil.STATUS_ZOMBIE)
MARK = b"AGENT_OF_SCHEDULER_BRIDGE="


@dataclass(slots=True)
class Run:
    """One agent's work on one job."""

    key: str
    pid: int
    began_at: float  # wall clock of this machine, as all times here
    ended_at: float | None = None
    tenths: int = 0  # how long it has to work
    seen_at: float = 0.0  # when it was last seen to be under way; before `began_at`: never
    moments: list[float] = field(default_factory=list)  # when it was seen to be under way and not stopped

    @property
    def position(self) -> int:
        """Of the job in its trial, which the key holds."""
        return int(self.key.split(".")[1])

    @property
    def due_at(self) -> float:
        """When it ends if nothing holds it up."""
        return self.began_at + self.tenths / 10

    @property
    def over_at(self) -> float:
        """When it was over: not earlier, perhaps a little later."""
        return self.ended_at if self.ended_at is not None else max(self.seen_at, self.began_at)


class Records:
    """Reads the agents' file as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = path.stat().st_size  # what is older belongs to earlier trials
        self._rest = b""
        self.runs: list[Run] = []

    def look(self) -> None:
        """Take what is new, and see who is still under way."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        self._read += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in lines:
            self._take(line.decode())
        moment = time.time()  # before the look: one that lives then has lived until then
        for run in self.under_way():
            run.seen_at = moment
            if _status(run.pid) not in (*GONE, psutil.STATUS_STOPPED):
                run.moments.append(moment)

    def under_way(self) -> list[Run]:
        """Runs that have begun and not ended, whose agents live."""
        return [run for run in self.runs if run.ended_at is None and lives(run.pid)]

    def _take(self, line: str) -> None:
        key, pid, what, at, *tenths = line.split()
        if what == "begin":
            self.runs.append(Run(key, int(pid), float(at), tenths=int(*tenths)))
        for run in reversed(self.runs) if what == "end" else ():
            if (run.key, run.pid) == (key, int(pid)):
                run.ended_at = float(at)
                return


def lives(pid: int) -> bool:
    """Whether a process does something; one that is dead and not reaped does not."""
    return _status(pid) not in GONE


def _status(pid: int) -> str | None:
    try:
        return str(psutil.Process(pid).status())
    except psutil.NoSuchProcess:
        return None


def agents_of(record: Path) -> list[psutil.Process]:
    """Every process that an agent of this fleet is or has started, whoever its parent is by now."""
    own = os.fsencode(f"CHAOS_RECORD={record}\0")
    found = []
    for process in psutil.process_iter():
        try:
            environment = Path(f"/proc/{process.pid}/environ").read_bytes()
        except OSError:
            continue
        if own in environment and MARK in environment and lives(process.pid):
            found.append(process)
    return found
