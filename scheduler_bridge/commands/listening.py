"""Sockets that wait for clients."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TypeAlias

Address: TypeAlias = tuple[str, int]  # numeric address or name, port

BACKLOG = 1024  # the system may allow fewer; beyond it a client has to try again after a second
NOT_HERE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})  # no IPv6 on this machine


def listen(addresses: Sequence[Address]) -> list[socket.socket]:
    """Non-blocking sockets that listen there; a name stands for all its addresses.

    Raises OSError when one of them cannot be had, with errno EADDRINUSE when somebody else listens; then none
    is left open.
    """
    with ExitStack() as opened:
        listeners = [
            opened.enter_context(listener) for address in addresses for listener in _listeners(*address)
        ]
        opened.pop_all()
    return listeners


def _listeners(host: str, port: int) -> Iterator[socket.socket]:
    """No `host`: every address.

    Raises OSError; an address that this machine lacks counts only where the name has no other.
    """
    refused: OSError | None = None
    count = 0
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, *_, address in found:
        try:
            listener = _listener(family, address)
        except OSError as error:
            if error.errno not in NOT_HERE:
                raise
            refused = error
        else:
            count += 1
            yield listener
    if refused and not count:
        raise refused


def _listener(family: int, address: tuple[str | int, ...] | tuple[int, bytes]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # What the last process left half closed does not hold the port; what listens does.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # "::" beside "0.0.0.0"
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
