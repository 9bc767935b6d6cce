"""One client's connection, read and written in the loop of the command port."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress

from scheduler_bridge.commands.grammar import READ_BYTES

PIECE_BYTES = 64 * 1024  # of a long reply; each has its own time to be taken
FORGET_UNSENT = struct.pack("ii", 1, 0)  # struct linger: close by a reset
LINGER_SECONDS = 2.0
LINGER_BYTES = 4 * 1024 * 1024


class Connection:
    """A client; it counts as idle while nothing of it is being done."""

    def __init__(self, opened: socket.socket, peer: str) -> None:
        self.peer = peer  # address
        self.idle_since: float | None = None  # in the loop's time
        self.read_full = False  # whether the last read may have ended in the middle of what was sent
        self._dropped = False
        self._loop = asyncio.get_running_loop()
        self._socket = opened
        # A reply follows `received` at once; without this it waits for the client to acknowledge the first.
        with suppress(OSError):
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def read(self, seconds: float | None = None) -> bytes:
        """At most READ_BYTES; b"" when the client has gone or has sent nothing for so long."""
        self.idle_since = self._loop.time()
        try:
            async with asyncio.timeout(seconds):
                data = await self._loop.sock_recv(self._socket, READ_BYTES)
        except OSError:  # also TimeoutError
            return b""
        finally:
            self.idle_since = None
        self.read_full = len(data) == READ_BYTES
        return data

    async def send(self, data: bytes, seconds: float) -> bool:
        """Send all of it; False where the client has gone, or takes no piece within `seconds`."""
        view = memoryview(data)
        try:
            for start in range(0, len(view), PIECE_BYTES):
                async with asyncio.timeout(seconds):
                    await self._loop.sock_sendall(self._socket, view[start : start + PIECE_BYTES])
        except TimeoutError:
            # Closed with what it has not taken, the connection would live on in the system for minutes.
            self._dropped = True
            with suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, FORGET_UNSENT)
            return False
        except OSError:
            return False
        return True

    async def finish(self) -> None:
        """Let the client read what was sent: closing before it has sent all it wants to would reset the connection."""
        if self._dropped:
            return
        self.idle_since = self._loop.time()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(LINGER_SECONDS):
                left = LINGER_BYTES
                while left > 0 and (data := await self._loop.sock_recv(self._socket, PIECE_BYTES)):
                    left -= len(data)

    def close(self) -> None:
        """Close at once."""
        self._socket.close()
