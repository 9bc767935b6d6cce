"""A TCP endpoint in front of a server that can fall silent, break and come back.

Frozen, it still takes connections, as a firewall, a stopped machine or a full disk does: nothing is answered,
nothing is refused. Cut, it closes what is open and refuses what comes.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"
BLOCK_BYTES = 65_536


class Proxy:
    """Forwards to one server; `port` stays the same over `cut` and `thaw`. To be used by one thread."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._flowing = threading.Event()
        self._flowing.set()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self._accept_in_background()

    def freeze(self) -> None:
        """Forward nothing more in either direction; open connections stay open, new ones are taken."""
        self._flowing.clear()

    def cut(self) -> None:
        """Close every connection and refuse new ones."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread
        self._listener.close()
        self._break_connections()

    def thaw(self) -> None:
        """Forward again, after `freeze` also what was held back, and take connections again."""
        if self._listener.fileno() < 0:
            self._listener = socket.create_server((LOOPBACK, self.port))
            self._accept_in_background()
        self._flowing.set()

    def close(self) -> None:
        """End for good."""
        self.cut()
        self._flowing.set()

    def _accept_in_background(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                self._keep(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._flowing.wait()
        try:
            server = socket.create_connection(self._server)
        except OSError:
            self._end(client)
            return
        self._keep(server)
        threading.Thread(target=self._pump, args=(server, client), daemon=True).start()
        self._pump(client, server)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(BLOCK_BYTES):
                self._flowing.wait()
                target.sendall(data)
        self._flowing.wait()  # the end of a connection is held back too
        for end in (source, target):
            self._end(end)

    def _keep(self, end: socket.socket) -> None:
        with self._lock:
            self._sockets.add(end)

    def _end(self, end: socket.socket) -> None:
        with self._lock:
            self._sockets.discard(end)
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)  # wakes whoever reads it
        end.close()

    def way_to(self, url: str) -> str:
        """The URL by which the server of `url` is reached through here."""
        return url.replace(f":{urlsplit(url).port}/", f":{self.port}/")

    def _break_connections(self) -> None:
        with self._lock:
            ends = list(self._sockets)
        for end in ends:
            self._end(end)


@contextmanager
def in_front_of(url: str) -> Iterator[Proxy]:
    """A proxy that forwards to the server of that URL, ended with the block."""
    address = urlsplit(url)
    assert address.hostname and address.port
    proxy = Proxy(address.hostname, address.port)
    try:
        yield proxy
    finally:
        proxy.close()
