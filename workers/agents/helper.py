"""A new agent in ten lines: the conversation with the scheduler, so that an agent is one function.

    from workers.agents.helper import Task, main

    def work(task: Task) -> None:
        for number, path in enumerate(task.data.split(), 1):
            ...
            task.heart(number)

    if __name__ == "__main__":
        main("wordcount", "1.0", work)

Started by a worker (`--scheduler_start` on the command line) it speaks today's agent protocol over stdin and
stdout; started by hand, its arguments are the data, and the protocol is left out. Whatever else must be told
goes through `say`: one line each, with a level in front, so that no text can be taken for a message of the
protocol.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

if TYPE_CHECKING:
    import psycopg

HEART_SECONDS = 1.0  # between two heartbeats at least
LINE_BYTES = 900  # today's scheduler cuts lines at 1023
_VERBOSE = re.compile(r"VERBOSE (\d{1,9})")


class AgentError(Exception):
    """The job cannot be done; the message says why and is for the operator."""


@dataclass(frozen=True, slots=True)
class Start:
    """What the command line says."""

    by_scheduler: bool
    stream: int  # --jobId: key of all results; 0: the scheduler's start-up test, or started by hand
    user: int
    group: int
    config: str  # the scheduler's configuration folder; empty: none
    arguments: tuple[str, ...]  # everything else, in its order

    @classmethod
    def read(cls, argv: Sequence[str]) -> Start:
        """Raises AgentError when a number is none."""
        parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False, exit_on_error=False)
        parser.add_argument("--scheduler_start", action="store_true")
        for option in ("--jobId", "--userID", "--groupID"):
            parser.add_argument(option, type=int, default=0)
        parser.add_argument("--config", default="")
        try:
            known, arguments = parser.parse_known_args(argv)
        except argparse.ArgumentError as error:
            raise AgentError(str(error)) from None
        return cls(
            known.scheduler_start, known.jobId, known.userID, known.groupID, known.config, tuple(arguments)
        )


def plain(text: str) -> str:
    """`text` on one line, with escapes for what a terminal or the protocol would obey."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


class Conversation:
    """The two pipes to the scheduler; both ends of a line are bytes, because paths are."""

    def __init__(self, name: str, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self.name = name
        self.items = 0  # of the last heartbeat
        self.verbosity = 0  # as the scheduler's operator sets it
        self._incoming = incoming
        self._outgoing = outgoing
        self._last_heart = 0.0

    def send(self, text: str) -> None:
        self._outgoing.write(text.encode("utf-8", "backslashreplace") + b"\n")
        self._outgoing.flush()

    def next_data(self) -> str | None:
        """The lines up to END as one text; None: the conversation is over."""
        lines: list[str] = []
        for line in self._incoming:
            text = os.fsdecode(line.removesuffix(b"\n"))
            if text == "CLOSE":
                return None
            if text == "END":
                return "\n".join(lines)
            if verbose := _VERBOSE.fullmatch(text):
                self.verbosity = int(verbose[1])
            else:
                lines.append(text)
        return "\n".join(lines) if lines else None

    def heart(self, items: int | None) -> None:
        """Tell that work goes on; at most one line a second gets out."""
        self.items = self.items if items is None else items
        now = time.monotonic()
        if now - self._last_heart >= HEART_SECONDS:
            self._last_heart = now
            self.send(f"HEART: {self.items} 1")

    def say(self, level: str, text: str) -> None:
        line = f"{level} {self.name}: {plain(text)}".encode("utf-8", "backslashreplace")[:LINE_BYTES]
        self.send(line.decode("utf-8", "ignore"))


class Task:
    """One piece of work, and everything an agent may do about it besides its results."""

    def __init__(self, start: Start, data: str, conversation: Conversation | None) -> None:
        self.data = data
        self.stream = start.stream
        self.user = start.user
        self.group = start.group
        self.arguments = start.arguments
        self.by_scheduler = conversation is not None
        self._conversation = conversation
        self._connection: psycopg.Connection[Any] | None = None

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The database of DATABASE_URL, opened at first use; a transaction is begun by the first statement.

        Raises AgentError when it cannot be reached.
        """
        if self._connection is None:
            self._connection = _connect()
        return self._connection

    def heart(self, items: int | None = None) -> None:
        """So many items are done (absolute number); without a number: alive. Call it as often as you like."""
        if self._conversation:
            self._conversation.heart(items)

    def say(self, level: str, text: str) -> None:
        """A line for the job's log; `level` is a word like WARNING."""
        if self._conversation:
            self._conversation.say(level, text)
        else:
            print(f"{level} {plain(text)}", file=sys.stderr)

    def debug(self, text: str) -> None:
        """A line for the log, if the operator has asked for more by `verbose`."""
        if self._conversation and self._conversation.verbosity:
            self._conversation.say("DEBUG", text)

    def close(self) -> None:
        """Give the connection back; what was not committed is undone."""
        if self._connection is not None:
            self._connection.close()


def main(
    name: str, version: str, work: Callable[[Task], None], *, alone: Callable[[list[str]], int] | None = None
) -> NoReturn:
    """Run as the agent `name`; `alone` is called with the arguments instead of `work` when started by hand.

    Ends the process: 0, or 1 after an error that has been told.
    """
    arguments = sys.argv[1:]
    if "--scheduler_start" in arguments:
        conversation = Conversation(name, sys.stdin.buffer, sys.stdout.buffer)
        sys.exit(_serve(conversation, version, work, arguments))
    try:
        sys.exit(alone(arguments) if alone else _by_hand(arguments, work))
    except AgentError as error:
        sys.exit(f"{name}: {error}")
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _serve(
    conversation: Conversation, version: str, work: Callable[[Task], None], arguments: list[str]
) -> int:
    try:
        start = Start.read(arguments)
        conversation.send(f"VERSION: {version}")
        conversation.send("OK")
        while (data := conversation.next_data()) is not None:
            _do(Task(start, data, conversation), work)
            conversation.send("OK")
        conversation.send(f"HEART: {conversation.items} 1")
        conversation.send("BYE 0")
        return 0
    except BrokenPipeError:  # the scheduler is gone; nobody listens
        return 1
    except AgentError as error:
        conversation.say("FATAL", str(error))
    except Exception as error:  # an agent's own fault is told like any other, with the place for its author
        conversation.say("FATAL", f"{type(error).__name__}: {error}")
        for line in traceback.format_exc().splitlines():
            conversation.say("ERROR", line)
    conversation.send("BYE 1")
    return 1


def _by_hand(arguments: list[str], work: Callable[[Task], None]) -> int:
    start = Start.read(arguments)
    _do(Task(start, " ".join(start.arguments), None), work)
    return 0


def _do(task: Task, work: Callable[[Task], None]) -> None:
    try:
        work(task)
    finally:
        task.close()


def _connect() -> psycopg.Connection[Any]:
    import psycopg  # here: takes longer to import than many an agent works, and not all of them need it

    url = os.environ.get("DATABASE_URL")
    if not url:
        raise AgentError("DATABASE_URL is not set")
    try:
        # No prepared statements: a transaction pooler may be in between.
        return psycopg.connect(url, connect_timeout=10, prepare_threshold=None)
    except psycopg.OperationalError as error:
        raise AgentError(f"no connection to the database: {error}") from None
