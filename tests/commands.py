"""What tests of the command port share: jobs in memory, and what today's scheduler answers, byte by byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from queue import SimpleQueue
from threading import Event

from scheduler_bridge.commands.replies import (
    AgentLine,
    AgentStatus,
    HostLine,
    JobLine,
    JobStatus,
    SchedulerLine,
)

# Local time, as an agent's line shows it.
SEEN = datetime.fromisoformat("2026-11-21 07:50:08")
SCHEDULER = b"scheduler:21353 revision:abc123 daemon:0 jobs:2 log:/p/fossology.log port:22355 verbose:3\n"
JOB_7 = b"job:7 status:JOB_STARTED type:tracer, priority:0 running:1 finished:0 failed:0\n"
JOB_14 = b"job:14 status:JOB_PAUSED type:tracer, priority:0 running:1 finished:0 failed:0\n"
AGENT_14 = b"agent:3538 host:localhost type:tracer status:AGENT_PAUSED time:2026-11-21 07:50:08\n"
STATUS = b"received\n" + SCHEDULER + JOB_7 + JOB_14 + b"end\n\0"
DONE = b"received\n"
CLOSED = b"received\nCLOSE\n"

TRANSCRIPTS: list[tuple[bytes, bytes]] = [
    (b"status", STATUS),
    (b"STATUS", STATUS),
    (b"status\n", STATUS),
    (b"!!! status", STATUS),
    (b"status 0", STATUS),
    (b"status abc", STATUS),
    (b"status\ndatabase\n", STATUS),
    (b"status\0status 14", STATUS),
    (b"status 14", b"received\n" + JOB_14 + AGENT_14 + b"end\n\0"),
    (b"status 999", b"received\nERROR: invalid job id = 999\nend\n\0"),
    (b"status -3", b"received\nERROR: invalid job id = -3\nend\n\0"),
    (b"status 99999999999", b"received\nERROR: invalid job id = 99999999999\nend\n\0"),
    (b"agents", b"received\nexcl one simple tracer \nend\n"),
    (b"load", b"received\nhost:localhost address:localhost max:10 running:0\n\nend\n"),
    (b"kill", b'received\nInvalid kill command: "kill"\n'),
    (b"kill 1", b'received\nInvalid kill command: "kill 1"\n'),
    (b'kill "test"', b'received\nInvalid kill command: "kill "test""\n'),
    (b'kill "x" 5', b'received\nInvalid kill command: "kill "x" 5"\n'),
    (b"kill 5 noquote", b'received\nInvalid kill command: "kill 5 noquote"\n'),
    (b'kill 5 ""', b'received\nInvalid kill command: "kill 5 """\n'),
    (b'kill 5 "x"', DONE),
    (b'kill 7 "x"', DONE),
    (b'kill 99999999999 "x"', DONE),
    (b"pause", b'received\nInvalid pause command: "pause"\n'),
    (b"pause seven", b'received\nInvalid pause command: "pause seven"\n'),
    (b"pause 7", DONE),
    (b"pause 5", DONE),
    (b"restart", b"received\nERROR: Invalid restart command: restart\n"),
    (b"restart 14", DONE),
    (b"restart 5", DONE),
    (b"priority", b"received\nERROR: Invalid priority command: priority\n"),
    (b"priority 7", b"received\nERROR: Invalid priority command: priority 7\n"),
    (b"priority 7 -20", DONE),
    (b"priority 5 3", DONE),
    (b"priority 7 99999999999", DONE),
    (b"verbose", b"received\nlevel: 3\n"),
    (b"verbose 7", DONE),
    (b"verbose 7 3", DONE),
    (b"Verbose 5 3", b'received\nInvalid verbose command: "verbose 5 3"\n'),
    (b"verbose 7 99999999999", b'received\nInvalid verbose command: "verbose 7 99999999999"\n'),
    (b"reload", DONE),
    (b"database", DONE),
    (b"databasestatus", b'received\nInvalid command: "databasestatus"\n'),
    (b"foo", b'received\nInvalid command: "foo"\n'),
    (b"FOO\r\n", b'received\nInvalid command: "foo"\n'),
    (b"!!!", b'Invalid command: "!!!"\n'),
    (b"\n", b'Invalid command: ""\n'),
    (b"close", CLOSED),
    (b"stop", CLOSED),
    (b"die", CLOSED),
]


@dataclass
class MemoryOrders:
    """Jobs in memory: 7 runs, 14 is paused; `unseen` ones are there once somebody has looked."""

    jobs: dict[int, JobLine] = field(
        default_factory=lambda: {
            14: JobLine(14, JobStatus.PAUSED, "tracer", running=1),
            7: JobLine(7, JobStatus.STARTED, "tracer", running=1),
        }
    )
    unseen: list[JobLine] = field(default_factory=list)
    told: list[tuple[object, ...]] = field(default_factory=list)
    heard: SimpleQueue[tuple[object, ...]] = field(default_factory=SimpleQueue)  # the same, to wait for
    fault: Exception | None = None  # raised by whatever is asked next
    gate: Event | None = None  # nothing is answered before it is set

    def observe(self) -> None:
        if self.gate:
            assert self.gate.wait(60)
        if self.fault:
            raise self.fault
        while self.unseen:
            line = self.unseen.pop()
            self.jobs[line.job] = line

    def open_jobs(self) -> Sequence[JobLine]:
        return list(self.jobs.values())

    def job(self, job: int) -> tuple[JobLine, Sequence[AgentLine]] | None:
        if job not in self.jobs:
            return None
        agent = AgentLine(3538, "localhost", "tracer", AgentStatus.PAUSED, SEEN)
        return self.jobs[job], [agent] * self.jobs[job].running

    def kill(self, job: int, text: str) -> bool:
        return self._tell("kill", job, text)

    def pause(self, job: int) -> bool:
        return self._tell("pause", job)

    def restart(self, job: int) -> bool:
        return self._tell("restart", job)

    def set_priority(self, job: int, level: int) -> bool:
        return self._tell("priority", job, level)

    def set_job_verbosity(self, job: int, level: int) -> bool:
        return self._tell("verbose", job, level)

    def hosts(self) -> Sequence[HostLine]:
        return [HostLine("localhost", "localhost", 10, 0)]

    def agent_types(self) -> Sequence[str]:
        return ["tracer", "simple", "excl", "one"]

    def _tell(self, word: str, job: int, *arguments: object) -> bool:
        if self.fault:
            raise self.fault
        if job in self.jobs:
            self.told.append((word, job, *arguments))
            self.heard.put((word, job, *arguments))
        return job in self.jobs


@dataclass
class MemoryControl:
    """Writes down what it was told."""

    orders: MemoryOrders
    verbosity: int = 3
    told: list[str] = field(default_factory=list)

    def scheduler_line(self) -> SchedulerLine:
        line = SchedulerLine(21353, "abc123", False, 0, "/p/fossology.log", 22355, 0)
        return replace(line, verbose=self.verbosity)

    def wake(self) -> None:
        self.told.append("wake")

    def reload(self) -> None:
        self.told.append("reload")

    def stop(self) -> None:
        self.told.append("stop")

    def die(self) -> None:
        self.told.append("die")
