"""The command port: takes connections, reads commands, sends replies.

One thread runs a loop that owns all sockets, so an idle client costs no thread; a few more threads carry out
commands. Whatever a client does, the memory it costs is bounded: one read, one reply, one of a fixed number of
places. Clients beyond these wait in the backlog until a place is free.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg

from scheduler_bridge.commands import replies
from scheduler_bridge.commands.access import Access, split_token
from scheduler_bridge.commands.connection import PIECE_BYTES, Connection
from scheduler_bridge.commands.execution import Answer
from scheduler_bridge.commands.grammar import Command, Invalid, parse
from scheduler_bridge.commands.listening import Address, listen

log = logging.getLogger(__name__)

ACCEPT_AGAIN_SECONDS = 1.0  # after the system has refused a connection, for want of file descriptors
LEAVE_SECONDS = 1.0  # for a client that has to leave, before the next one has to


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may use up."""

    threads: int = 10  # commands carried out at once: interface_nthreads
    connections: int = 500
    idle_seconds: float = 60.0  # after which a client gives up its place when all are taken
    send_seconds: float = 10.0  # for a client to take a piece of a reply
    token_seconds: float = 10.0  # for a client to show its token
    invalid: int = 16  # invalid commands of one connection
    unsent_bytes: int = 64 * 1024 * 1024  # of all long replies together; one alone may have more
    stop_seconds: float = 5.0  # for commands under way when the port stops


class CommandPort:
    """Answers clients from `start` to `stop`; `answer` is asked by several threads at once."""

    def __init__(
        self,
        answer: Callable[[Command], Answer],
        addresses: Sequence[Address],
        *,
        access: Access | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._answer = answer
        self._addresses = addresses
        self._access = access or Access()
        self._limits = limits or Limits()
        self._listeners: list[socket.socket] = []
        self._thread: threading.Thread | None = None
        self._clients: dict[asyncio.Task[None], Connection] = {}
        self._unsent = 0  # bytes

    @property
    def bound(self) -> tuple[Address, ...]:
        """Where it listens; nothing unless it runs."""
        return tuple(listener.getsockname()[:2] for listener in self._listeners)

    def start(self) -> None:
        """Listen and answer. Raises OSError, with errno EADDRINUSE when somebody else has the port."""
        self._loop = asyncio.new_event_loop()
        try:
            self._listeners = listen(self._addresses)
        except OSError:
            self._loop.close()
            raise
        self._stopping = asyncio.Event()
        self._pool = ThreadPoolExecutor(self._limits.threads, "command")
        self._thread = threading.Thread(target=self._run, name="command-port")
        self._thread.start()

    def stop(self) -> None:
        """Close the port, then let commands under way end and be answered, for some seconds.

        Not to be called by a command, which it would wait for. Does nothing unless it runs.
        """
        if self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._thread = None
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        taking = [self._loop.create_task(self._take_clients(listener)) for listener in self._listeners]
        for task in taking:
            task.add_done_callback(_log_failure)
        await self._stopping.wait()
        await _cancel(taking)
        for listener in self._listeners:
            listener.close()
        self._listeners = []
        await self._finish_clients()

    async def _finish_clients(self) -> None:
        await _cancel([task for task, client in self._clients.items() if client.idle_since is not None])
        if self._clients:
            await asyncio.wait(self._clients, timeout=self._limits.stop_seconds)
        await _cancel(list(self._clients))

    async def _take_clients(self, listener: socket.socket) -> None:
        while True:
            await self._free_place()
            try:
                opened, peer = listener.accept()
            except BlockingIOError:
                await self._knock(listener)
                continue
            except OSError as error:
                log.warning("a client could not connect: %s", error, extra={"action": "client_refused"})
                await asyncio.sleep(ACCEPT_AGAIN_SECONDS)
                continue
            opened.setblocking(False)
            client = Connection(opened, peer[0])
            task = self._loop.create_task(self._talk(client))
            self._clients[task] = client
            task.add_done_callback(self._forget)

    async def _knock(self, listener: socket.socket) -> None:
        """Wait until somebody wants to connect.

        Nothing is accepted here: sock_accept loses the client whose connection comes as it is cancelled, and
        leaves its socket open.
        """
        knocked = asyncio.Event()
        self._loop.add_reader(listener, knocked.set)
        try:
            await knocked.wait()
        finally:
            self._loop.remove_reader(listener)

    async def _free_place(self) -> None:
        """Wait until fewer clients are connected than may be; one that is idle for too long has to leave."""
        while len(self._clients) >= self._limits.connections:
            idle = {
                task: client.idle_since
                for task, client in self._clients.items()
                if client.idle_since is not None
            }
            longest = min(idle, key=idle.__getitem__, default=None)
            since = idle[longest] if longest else self._loop.time()
            seconds = since + self._limits.idle_seconds - self._loop.time()
            if longest and seconds <= 0:
                longest.cancel()
            patience = seconds if seconds > 0 else LEAVE_SECONDS
            await asyncio.wait(self._clients, timeout=patience, return_when=asyncio.FIRST_COMPLETED)

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._clients[task]
        _log_failure(task)

    async def _talk(self, client: Connection) -> None:
        """One connection from its first byte to its last."""
        try:
            if await self._converse(client):
                await client.finish()
        finally:
            client.close()

    async def _converse(self, client: Connection) -> bool:
        """Answer commands; whether it is us who end the connection."""
        data = await self._admit(client)
        if data is None:
            return True
        invalid = 0
        while data:
            command = parse(data)
            invalid += isinstance(command, Invalid)
            if not await self._reply(client, command) or self._stopping.is_set():
                return True
            # What follows a read that was full may be the rest of an overlong text: "... and then stop".
            if client.read_full or invalid >= self._limits.invalid:
                return True
            data = await client.read()
        return False

    async def _admit(self, client: Connection) -> bytes | None:
        """What the client sends first, without its token; None where it may send nothing."""
        trusted = self._access.trusts(client.peer)
        data = await client.read(None if trusted else self._limits.token_seconds)
        secret, rest = split_token(data)
        if not trusted and not self._access.opens(secret):
            log.warning("refused a client at %s", client.peer, extra={"action": "client_refused"})
            await self._send(client, replies.NOT_AUTHORIZED)
            return None
        return rest if secret is None or rest else await client.read()

    async def _reply(self, client: Connection, command: Command | Invalid) -> bool:
        """Carry out a command, for clients too that have gone already; whether there may be another."""
        if isinstance(command, Invalid):
            return await self._send(client, (replies.RECEIVED if command.received else b"") + command.reply)
        listening = await self._send(client, replies.RECEIVED)
        answer = await self._carry_out(command)
        if answer is None:
            return False
        return listening and await self._send(client, answer.reply) and not answer.closes

    async def _carry_out(self, command: Command) -> Answer | None:
        """None where it failed: the log says why."""
        try:
            return await self._loop.run_in_executor(self._pool, self._answer, command)
        except psycopg.Error as error:
            name, fault = type(command).__name__.lower(), " ".join(str(error).split())
            log.error("the command %s failed: %s", name, fault, extra={"action": "command_failed"})
        except Exception:
            log.exception("the command %r failed", command, extra={"action": "command_failed"})
        return None

    async def _send(self, client: Connection, data: bytes) -> bool:
        """Whether the client has taken it; of long replies that nobody reads only so much is kept."""
        size = len(data) if len(data) > PIECE_BYTES else 0
        if size and self._unsent and self._unsent + size > self._limits.unsent_bytes:
            log.warning(
                "%s gets no reply of %d bytes: others do not read theirs",
                client.peer,
                size,
                extra={"action": "client_dropped"},
            )
            return False
        self._unsent += size
        try:
            return await client.send(data, self._limits.send_seconds)
        finally:
            self._unsent -= size


async def _cancel(tasks: Collection[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _log_failure(task: asyncio.Task[None]) -> None:
    """Nothing but a fault of ours ends a task with an exception."""
    if not task.cancelled() and (fault := task.exception()):
        log.error("the command port has a fault", exc_info=fault, extra={"action": "command_port_fault"})
