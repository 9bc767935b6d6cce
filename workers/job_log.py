"""The log of one job as FOSSology's pages show it: what its agent printed, and what became of the agent.

    2026-11-21 07:52:34 tracer [0] :: JOB[28].tracer[7260.localhost]: "what the agent printed"
    2026-11-21 07:52:40 tracer [0] :: JOB[28].tracer[7260.localhost]: agent failed, code: 0

The file is made at the first line, and a new attempt begins it anew. A job whose agent says nothing has none.
"""

from __future__ import annotations

import time
from pathlib import Path

from workers.grammar import shown
from workers.log_file import create, log_path
from workers.log_writer import LogFile, LogWriter

LIMIT_BYTES = 64 * 1024 * 1024  # of an agent's lines; our own few sentences are written beyond it


class JobLogs:
    """The job logs of one worker."""

    def __init__(self, repository: Path, depth: int, host: str) -> None:
        """`repository` is absolute; `depth` is the number of folders above a log; `host` is this host's name."""
        self._repository = repository
        self._depth = depth
        self._host = host
        self._writer = LogWriter()

    def of(self, job: int, agent_type: str, pid: int) -> JobLog:
        """The log of a new attempt; `pid` is its agent's process, 0 for one that could not be started."""
        path = log_path(job, self._depth)
        file = LogFile(lambda: create(self._repository, path))
        speaker = f"JOB[{job}].{agent_type}[{pid}.{self._host}]: "
        return JobLog(self._writer, file, str(self._repository / path), f" {agent_type} [0] :: {speaker}")


class JobLog:
    """Written by the session's thread; `path` is for any."""

    def __init__(self, writer: LogWriter, file: LogFile, path: str, prefix: str) -> None:
        """`prefix` is what stands in every line between time and text."""
        self.told = False  # to the row, where the log is
        self._writer = writer
        self._file = file
        self._path = path
        self._prefix = prefix
        self._room = LIMIT_BYTES
        self._lines_are_missing = False
        self._begun = False

    @property
    def path(self) -> str | None:
        """Where it is; None as long as it has no line, or could not be written."""
        return self._path if self._file.made else None

    @property
    def untold_path(self) -> str | None:
        """Its path as long as that has to be told to the row."""
        return None if self.told else self.path

    def agent_said(self, lines: str, what: str = "") -> None:
        """One or more whole lines of the agent, without the last newline; `what` stands before each in the log."""
        if self._room <= 0:
            return
        start = self._start()
        head = f'{start}{what}"'
        block = (head + lines.replace("\n", f'"\n{head}') + '"\n').encode("utf-8", "backslashreplace")
        if len(block) > self._room:
            block = block[: block.rfind(b"\n", 0, self._room) + 1]
            end = f"{start}the log has reached {LIMIT_BYTES >> 20} MiB: nothing more that the agent says is logged\n"
            block += end.encode("utf-8", "backslashreplace")
            self._room = 0
        self._room -= len(block)
        self._put(block)

    def note(self, sentence: str) -> None:
        """What has happened to the agent."""
        line = f"{self._start()}{' '.join(sentence.splitlines())}\n"
        self._put(line.encode("utf-8", "backslashreplace"))

    def note_if_begun(self, sentence: str) -> None:
        """As `note`, for an attempt that may have lost its job: a log that another attempt has made since stays."""
        if self._begun:
            self.note(sentence)

    def received(self, line: bytes) -> None:
        """Any line, or lines, of the agent, for who wants to follow the conversation."""
        self.agent_said(shown(line), "received: ")

    def sent(self, data: bytes) -> None:
        """What the agent was given, one or more whole lines."""
        self.agent_said(shown(data.removesuffix(b"\n")), "sent to agent ")

    def close(self) -> None:
        """All is said; returns when it is in the file, or the disk has been waited for long enough."""
        if self._begun:
            self._writer.end(self._file)

    def _put(self, block: bytes) -> None:
        self._begun = True
        if self._lines_are_missing:
            gap = f"{self._start()}some lines are missing here: the disk was too slow\n"
            block = gap.encode("utf-8", "backslashreplace") + block
        self._lines_are_missing = not self._writer.put(self._file, block)

    def _start(self) -> str:
        return time.strftime("%Y-%m-%d %H:%M:%S") + self._prefix
