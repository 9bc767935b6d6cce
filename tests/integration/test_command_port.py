"""The command port with real sockets: framing, bounds, clients that behave badly, and who may ask."""

from __future__ import annotations

import asyncio
import errno
import logging
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from statistics import median
from typing import Any

import psycopg
import pytest

from scheduler_bridge.commands.access import Access
from scheduler_bridge.commands.execution import Execution
from scheduler_bridge.commands.replies import JobLine, JobStatus
from scheduler_bridge.commands.server import CommandPort, Limits
from tests.commands import CLOSED, DONE, STATUS, TRANSCRIPTS, MemoryControl, MemoryOrders

LOOPBACK = "127.0.0.1"
PATIENCE_SECONDS = 30.0
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
NOT_AUTHORIZED = b"ERROR: not authorized\n"
Start = Callable[..., CommandPort]


@dataclass(frozen=True, slots=True)
class Abroad(Access):
    """Takes loopback for the address of another machine."""

    def trusts(self, peer: str) -> bool:
        return any(ip_address(peer) in network for network in self.trusted)


@pytest.fixture
def orders() -> MemoryOrders:
    return MemoryOrders()


@pytest.fixture
def control(orders: MemoryOrders) -> MemoryControl:
    return MemoryControl(orders)


@pytest.fixture
def start(orders: MemoryOrders, control: MemoryControl) -> Iterator[Start]:
    """Start a port on loopback: `start(access=..., connections=...)`."""
    started: list[CommandPort] = []

    def run(access: Access | None = None, port: int = 0, **limits: float) -> CommandPort:
        answer = Execution(orders, control).answer
        opened = CommandPort(answer, [(LOOPBACK, port)], access=access, limits=Limits(**limits))  # type: ignore[arg-type]
        opened.start()
        started.append(opened)
        return opened

    yield run
    for opened in started:
        opened.stop()


@pytest.fixture
def port(start: Start) -> CommandPort:
    return start()


def connect(port: CommandPort) -> socket.socket:
    return socket.create_connection(port.bound[0], PATIENCE_SECONDS)


def read_to_the_end(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65_536), b""))


def read_until(client: socket.socket, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        more = client.recv(65_536)
        assert more, f"the connection ended after {data!r}"
        data += more
    return data


def exchange(port: CommandPort, *segments: bytes) -> bytes:
    """All that a client gets who sends one command a segment and then has no more to say."""
    with connect(port) as client:
        for segment in segments:
            client.sendall(segment)
            if segment is not segments[-1]:
                read_until(client, DONE)
        client.shutdown(socket.SHUT_WR)
        return read_to_the_end(client)


@pytest.mark.parametrize(("sent", "reply"), TRANSCRIPTS, ids=[repr(sent) for sent, _ in TRANSCRIPTS])
def test_every_command_is_answered_as_today(port: CommandPort, sent: bytes, reply: bytes) -> None:
    assert exchange(port, sent) == reply


def test_a_page_sees_the_jobs_it_has_queued(port: CommandPort, orders: MemoryOrders) -> None:
    """As FOSSology's pages ask: each command has a connection, `received` ends all replies but a status."""
    with connect(port) as client:
        client.sendall(b"database")
        orders.unseen.append(JobLine(31, JobStatus.CHECKEDOUT, "nomos"))
        assert client.makefile().readline() == "received\n"
    with connect(port) as client:
        client.sendall(b"status")
        lines = list(iter(client.makefile().readline, "end\n"))
    assert any(line.startswith("job:31 ") for line in lines)


def test_a_connection_takes_several_commands(port: CommandPort) -> None:
    assert exchange(port, b"database", b"pause 7", b"status") == STATUS


def test_the_second_command_of_a_segment_is_lost(port: CommandPort, orders: MemoryOrders) -> None:
    assert exchange(port, b"pause 7\npause 14\n") == DONE
    assert orders.told == [("pause", 7)]


def test_a_command_is_received_before_it_is_carried_out(port: CommandPort, orders: MemoryOrders) -> None:
    orders.gate = threading.Event()
    with connect(port) as client:
        client.sendall(b"status")
        assert read_until(client, b"\n") == DONE
        orders.gate.set()
        assert DONE + read_until(client, b"\0") == STATUS


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_the_command_of_a_client_that_has_vanished_is_carried_out(
    port: CommandPort, orders: MemoryOrders, reset: bool
) -> None:
    with connect(port) as client:
        client.sendall(b"pause 7")
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    assert orders.heard.get(timeout=PATIENCE_SECONDS) == ("pause", 7)


def test_a_megabyte_of_garbage_is_answered_once_and_harms_nobody(port: CommandPort) -> None:
    with connect(port) as client:
        client.sendall(b"x" * 1_000_000)
        client.shutdown(socket.SHUT_WR)
        assert read_to_the_end(client) == DONE + b'Invalid command: "' + b"x" * 1024 + b'"\n'
    assert exchange(port, b"status") == STATUS


def test_the_rest_of_an_overlong_text_is_no_command(port: CommandPort, control: MemoryControl) -> None:
    text = b'kill 7 "' + b"x" * (1024 - 8) + b' and then stop"'
    assert exchange(port, text).startswith(DONE + b"Invalid kill command: ")
    assert exchange(port, b"status") == STATUS
    assert not control.told


def test_a_client_with_nothing_but_invalid_commands_is_sent_away(start: Start) -> None:
    port = start(invalid=3)
    with connect(port) as client:
        for _ in range(3):
            client.sendall(b"foo")
            read_until(client, b'Invalid command: "foo"\n')
        assert read_to_the_end(client) == b""


def test_idle_clients_cost_no_thread_and_no_time(port: CommandPort) -> None:
    before = threading.active_count()
    idle = [connect(port) for _ in range(200)]
    try:
        assert exchange(port, b"status") == STATUS
        assert threading.active_count() <= before + 1  # the one that carries out the command
    finally:
        for client in idle:
            client.close()


def test_clients_at_once_are_all_answered_soon(port: CommandPort) -> None:
    count, rounds = 200, 5
    seconds = asyncio.run(latencies(port, count, rounds))
    assert len(seconds) == count * rounds
    assert median(seconds) < 0.5
    assert max(seconds) < 5


async def latencies(port: CommandPort, clients: int, rounds: int) -> list[float]:
    """Seconds from each `status` to the end of its reply, by clients that all ask at once."""

    async def ask_often() -> list[float]:
        reader, writer = await asyncio.open_connection(*port.bound[0])
        seconds = []
        for _ in range(rounds):
            asked_at = time.monotonic()
            writer.write(b"status")
            assert await reader.readexactly(len(STATUS)) == STATUS
            seconds.append(time.monotonic() - asked_at)
        writer.close()
        await writer.wait_closed()
        return seconds

    return [
        second for found in await asyncio.gather(*(ask_often() for _ in range(clients))) for second in found
    ]


def test_a_client_that_never_reads_is_dropped_and_blocks_nobody(start: Start, orders: MemoryOrders) -> None:
    port = start(threads=1, send_seconds=0.5)
    jobs = {job: JobLine(job, JobStatus.CHECKEDOUT, "tracer") for job in range(100_000)}
    orders.jobs.update(jobs)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(PATIENCE_SECONDS)
        client.connect(port.bound[0])
        client.sendall(b"status")
        assert client.recv(len(DONE)) == DONE
        assert exchange(port, b"pause 7") == DONE
        wait_for_reset(client)
    assert exchange(port, b"pause 14") == DONE


def wait_for_reset(client: socket.socket) -> None:
    """Without reading anything."""
    poll = select.poll()
    poll.register(client, 0)
    assert poll.poll(PATIENCE_SECONDS * 1000), "the connection lives on"


def test_long_replies_that_nobody_reads_are_bounded(
    start: Start, orders: MemoryOrders, caplog: pytest.LogCaptureFixture
) -> None:
    port = start(unsent_bytes=10_000_000, send_seconds=PATIENCE_SECONDS)
    few = dict(orders.jobs)
    orders.jobs.update({job: JobLine(job, JobStatus.CHECKEDOUT, "tracer") for job in range(100_000)})
    with connect(port) as client:
        client.sendall(b"status")
        assert client.recv(len(DONE)) == DONE
        assert client.recv(1) == b"s"  # the reply is on its way
        assert exchange(port, b"status") == DONE
        orders.jobs = few
        assert exchange(port, b"status") == STATUS
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    assert "others do not read theirs" in caplog.text


def test_a_client_beyond_the_places_waits_until_one_is_free(start: Start) -> None:
    port = start(connections=2)
    first, second = connect(port), connect(port)
    with closing(first), closing(second), connect(port) as third:
        first.sendall(b"database")
        second.sendall(b"database")
        third.sendall(b"status")
        read_until(first, DONE)
        read_until(second, DONE)
        third.settimeout(0.2)
        with pytest.raises(TimeoutError):
            third.recv(1)
        third.settimeout(PATIENCE_SECONDS)
        first.close()
        assert read_until(third, b"\0") == STATUS


def test_a_client_that_is_idle_for_long_makes_room(start: Start) -> None:
    port = start(connections=2, idle_seconds=0.1)
    with connect(port) as first, connect(port), connect(port) as third:
        third.sendall(b"status")
        assert read_until(third, b"\0") == STATUS
        assert first.recv(1) == b""


def test_a_database_that_is_away_costs_a_log_line_and_the_connection(
    port: CommandPort, orders: MemoryOrders, caplog: pytest.LogCaptureFixture
) -> None:
    orders.fault = psycopg.OperationalError("the server\nhas gone")
    with connect(port) as client:
        client.sendall(b"status")
        assert read_to_the_end(client) == DONE
    assert [record.getMessage() for record in caplog.records] == [
        "the command status failed: the server has gone"
    ]
    orders.fault = None
    assert exchange(port, b"status") == STATUS


def test_a_fault_of_ours_is_logged_with_its_place(
    port: CommandPort, orders: MemoryOrders, caplog: pytest.LogCaptureFixture
) -> None:
    orders.fault = ZeroDivisionError("ours")
    assert exchange(port, b"pause 7") == DONE
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]
    orders.fault = None
    assert exchange(port, b"pause 7") == DONE


def test_the_port_is_refused_once_it_is_stopped_and_can_be_had_again(start: Start) -> None:
    port = start()
    address = port.bound[0]
    with connect(port) as client:
        client.sendall(b"status")
        read_until(client, b"\0")
        port.stop()
        assert client.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
    assert port.bound == ()
    assert exchange(start(port=address[1]), b"status") == STATUS


def test_stopping_twice_or_before_a_start_does_nothing(start: Start, orders: MemoryOrders) -> None:
    CommandPort(Execution(orders, MemoryControl(orders)).answer, [(LOOPBACK, 0)]).stop()
    port = start()
    port.stop()
    port.stop()
    assert port.bound == ()


def test_a_command_under_way_is_answered_before_the_port_stops(start: Start, orders: MemoryOrders) -> None:
    port = start()
    orders.gate = threading.Event()
    with connect(port) as client:
        client.sendall(b"status")
        read_until(client, DONE)
        stopping = threading.Thread(target=port.stop)
        stopping.start()
        orders.gate.set()
        assert DONE + read_to_the_end(client) == STATUS
    stopping.join()


def test_a_command_that_hangs_does_not_keep_the_port_from_stopping(
    start: Start, orders: MemoryOrders
) -> None:
    port = start(stop_seconds=0.1)
    orders.gate = threading.Event()
    with connect(port) as client:
        client.sendall(b"status")
        read_until(client, DONE)
        port.stop()
        assert client.recv(1) == b""
    orders.gate.set()


@dataclass(frozen=True, slots=True)
class Holding(Access):
    """Stops the port's loop at a client until `until` is set."""

    reached: threading.Event = field(default_factory=threading.Event)
    until: threading.Event = field(default_factory=threading.Event)

    def trusts(self, peer: str) -> bool:
        self.reached.set()
        return self.until.wait(PATIENCE_SECONDS)


def test_a_client_who_comes_as_the_port_stops_is_not_left_open(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are seen by the loop in one round; pytest fails for a socket that nobody has closed."""
    access = Holding()
    port = start(access)
    told = threading.Event()
    tell = port._loop.call_soon_threadsafe

    def telling(*args: Any, **options: Any) -> asyncio.Handle:
        handle = tell(*args, **options)
        told.set()
        return handle

    monkeypatch.setattr(port._loop, "call_soon_threadsafe", telling)
    with connect(port) as first:
        assert access.reached.wait(PATIENCE_SECONDS)
        with connect(port) as second:
            stopping = threading.Thread(target=port.stop)
            stopping.start()
            assert told.wait(PATIENCE_SECONDS)
            access.until.set()
            stopping.join()
            for client in first, second:
                with suppress(ConnectionResetError):
                    assert read_to_the_end(client) == b""


@pytest.mark.parametrize("held", ["127.0.0.1", "0.0.0.0"])
def test_a_port_that_somebody_holds_is_said_to_be_in_use(start: Start, held: str) -> None:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((held, 0))
        holder.listen()
        with pytest.raises(OSError) as raised:
            start(port=holder.getsockname()[1])
    assert raised.value.errno == errno.EADDRINUSE


def test_it_listens_on_every_address_or_on_none(orders: MemoryOrders) -> None:
    answer = Execution(orders, MemoryControl(orders)).answer
    port = CommandPort(answer, [(LOOPBACK, 0), ("localhost", 0)])
    port.start()
    try:
        assert len(port.bound) >= 2
        for address in port.bound:
            with socket.create_connection(address, PATIENCE_SECONDS) as client:
                client.sendall(b"database")
                assert read_until(client, b"\n") == DONE
        both = CommandPort(answer, [(LOOPBACK, 0), port.bound[0]])
        with pytest.raises(OSError):
            both.start()
        assert both.bound == ()
    finally:
        port.stop()


def test_close_ends_the_connection(port: CommandPort) -> None:
    with connect(port) as client:
        client.sendall(b"close")
        assert read_to_the_end(client) == CLOSED


def test_stop_leaves_other_connections_alone(port: CommandPort, control: MemoryControl) -> None:
    with connect(port) as other:
        other.sendall(b"database")
        read_until(other, DONE)
        assert exchange(port, b"stop") == CLOSED
        other.sendall(b"status")
        assert read_until(other, b"\0") == STATUS
    assert control.told == ["wake", "stop"]


def test_a_client_elsewhere_needs_the_token(start: Start, orders: MemoryOrders) -> None:
    port = start(Abroad("secret"))
    assert exchange(port, b"token secret\nstatus") == STATUS
    for wrong in (
        b"pause 7",
        b"token Secret\npause 7",
        b"token secre\npause 7",
        b"token \npause 7",
        b"x" * 5000,
    ):
        assert exchange(port, wrong) == NOT_AUTHORIZED
    assert not orders.told


def test_the_token_may_come_by_itself_and_holds_for_the_connection(start: Start) -> None:
    port = start(Abroad("secret"))
    with connect(port) as client:
        client.sendall(b"token secret\npause 7")
        assert read_until(client, DONE) == DONE
        client.sendall(b"status")
        assert read_until(client, b"\0") == STATUS
    with connect(port) as client:
        client.sendall(b"token secret\n")
        assert (
            exchange(port, b"token secret\ndatabase") == DONE
        )  # the other client's token was read before it
        client.sendall(b"status")
        assert read_until(client, b"\0") == STATUS


def test_a_client_elsewhere_that_shows_no_token_in_time_is_refused(start: Start) -> None:
    port = start(Abroad("secret"), token_seconds=0.1)
    with connect(port) as client:
        assert read_to_the_end(client) == NOT_AUTHORIZED


def test_without_a_token_no_client_elsewhere_is_served(start: Start) -> None:
    assert exchange(start(Abroad()), b"token None\nstatus") == NOT_AUTHORIZED


def test_an_old_client_of_a_trusted_network_needs_no_token(start: Start) -> None:
    port = start(Abroad("secret", (ip_network("127.0.0.0/8"),)))
    assert exchange(port, b"status") == STATUS


def test_a_token_from_this_machine_is_not_looked_at(port: CommandPort) -> None:
    assert exchange(port, b"token whatever\nstatus") == STATUS


def test_a_refusal_is_logged_without_what_was_sent(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    exchange(start(Abroad("secret")), b"token almost\nstatus")
    assert [record.getMessage() for record in caplog.records if record.name.startswith("scheduler")] == [
        "refused a client at 127.0.0.1"
    ]
