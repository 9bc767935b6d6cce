"""The interactive client: lines typed become commands, replies are shown as they come."""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable

from scheduler_bridge.commands.client import END, RECEIVED, REFUSAL, CommandClient, is_received
from scheduler_bridge.errors import BridgeError

TYPED_BYTES = 64 * 1024  # read at once
CLOSE = "CLOSE"
HELP = """\
commands:
  help                     this list
  close                    end the connection
  stop                     let the scheduler end once everything that runs has ended
  die                      let the scheduler end now
  load                     what runs on each host
  agents                   the agent types that can be used
  status [JOB]             everything that is open, or one job with its agents
  pause JOB                stop a job
  restart JOB              let a paused job go on
  kill JOB "TEXT"          end a job as failed for that reason
  priority JOB N           give the job's stream another priority
  verbose [[JOB] N]        show or set how much is logged, by the scheduler or a job's agents
  reload                   read the configuration again
  database                 look for new jobs now"""


class Dialogue:
    """Sends what is typed on a file descriptor; one command at a time, so that no two end up in one read."""

    def __init__(self, client: CommandClient, typed: int, say: Callable[[str], None]) -> None:
        self._client = client
        self._typed = typed
        self._say = say
        self._partial = b""
        self._waiting: deque[str] = deque()  # commands typed and not yet sent
        self._sent: str | None = None  # the command that has not been taken yet
        self._typing = True

    def run(self) -> None:
        """Until the scheduler says CLOSE. Raises BridgeError where it only goes, OSError after a long silence."""
        while True:
            self._send_next()
            replies = self._client.fileno()
            readable = [replies]
            if self._typing and self._sent is None:
                readable, _, _ = select.select([replies, self._typed], [], [])
            if self._typed in readable:
                self._read_typed()
            if replies in readable:
                there = self._client.receive()
                if self._show_replies():
                    return
                if not there:
                    raise BridgeError("the scheduler has closed the connection")

    def _read_typed(self) -> None:
        data = os.read(self._typed, TYPED_BYTES)
        *lines, self._partial = (self._partial + data).split(b"\n")
        if not data:
            self._typing = False
            lines = [self._partial, b"close"]
        self._waiting.extend(line.decode("utf-8", "replace").strip() for line in lines)

    def _send_next(self) -> None:
        while self._waiting and self._sent is None:
            command = self._waiting.popleft()
            if command == "help":
                self._say(HELP)
            elif command:
                self._send(command)

    def _send(self, command: str) -> None:
        try:
            self._client.send(command)
        except BridgeError as error:
            self._say(str(error))
        else:
            self._sent = command

    def _show_replies(self) -> bool:
        """Whether the scheduler has ended the connection."""
        for line in self._client.complete_lines():
            if line == RECEIVED:
                self._say("Command received")
            elif line != END:
                self._say(line)
            if line.startswith(CLOSE):
                return True
            if self._sent and (line == RECEIVED if is_received(self._sent) else REFUSAL.match(line)):
                self._sent = None
        return False
