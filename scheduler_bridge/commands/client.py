"""A client of the command port, of ours and of FOSSology's scheduler."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

from scheduler_bridge.commands.grammar import READ_BYTES, Agents, Invalid, Load, Status, parse
from scheduler_bridge.errors import BridgeError

CONNECT_SECONDS = 10.0  # for each address of a host
REPLY_SECONDS = 60.0  # of silence
LONGEST_LINE_BYTES = 64 * 1024
RECEIVED = "received"
END = "end"
REFUSAL = re.compile(r"ERROR: not authorized|Invalid command: ")


class CommandClient:
    """A connection; `connect` makes it."""

    def __init__(self, opened: socket.socket, token: str | None = None) -> None:
        opened.settimeout(REPLY_SECONDS)
        self._socket = opened
        self._greeting = b"token %b\n" % token.encode() if token else b""
        self._buffer = b""

    def fileno(self) -> int:
        """For select."""
        return self._socket.fileno()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def send(self, command: str) -> None:
        """Send one command as one segment, the token before the first. Raises BridgeError."""
        data = command.encode()
        if len(self._greeting) + len(data) >= READ_BYTES:
            raise BridgeError(f"a command has fewer than {READ_BYTES - len(self._greeting)} bytes")
        self._socket.sendall(self._greeting + data)
        self._greeting = b""

    def receive(self) -> bool:
        """Wait for more bytes; False at their end. Raises OSError after REPLY_SECONDS of silence."""
        try:
            data = self._socket.recv(READ_BYTES * 64)
        except ConnectionResetError:
            return False
        self._buffer += data
        return bool(data) and len(self._buffer.rpartition(b"\n")[2]) <= LONGEST_LINE_BYTES

    def complete_lines(self) -> Iterator[str]:
        """The lines that are here, without their ends and the NUL that follows an `end`."""
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            yield line.lstrip(b"\0").decode("utf-8", "replace")

    def lines(self) -> Iterator[str]:
        """The lines as they come, until the connection ends."""
        while True:
            yield from self.complete_lines()
            if not self.receive():
                return


def connect(host: str, port: int, token: str | None = None) -> CommandClient:
    """Try every address of the host. Raises OSError."""
    try:
        return CommandClient(socket.create_connection((host, port), CONNECT_SECONDS), token)
    except UnicodeError as error:  # a name with an empty part or one of more than 63 characters
        raise OSError(f"{host} is not the name of a host") from error


def ask(client: CommandClient, commands: list[str]) -> Iterator[str]:
    """Send commands one after the other; the lines that they are answered, where they have an answer to wait for.

    Raises BridgeError where one is refused, or the answer breaks off.
    """
    lines = client.lines()
    for command in commands:
        client.send(command)
        first = next((line for line in lines if line == RECEIVED or REFUSAL.match(line)), None)
        if first != RECEIVED:
            raise BridgeError(first or f"the scheduler has closed the connection without taking {command!r}")
        if has_end(command):
            yield from _until_end(lines, command)


def has_end(command: str) -> bool:
    """Whether its reply is finished by a line `end`."""
    return isinstance(parse(command.encode()), Status | Agents | Load)


def is_received(command: str) -> bool:
    """Whether the first reply to it is `received`."""
    parsed = parse(command.encode())
    return not isinstance(parsed, Invalid) or parsed.received


def _until_end(lines: Iterator[str], command: str) -> Iterator[str]:
    for line in lines:
        if line == END:
            return
        yield line
    raise BridgeError(f"the answer to {command!r} broke off: the scheduler's log says why")
