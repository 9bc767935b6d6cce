"""`scheduler-bridge cli` against a real port, as a person or a script meets fo_cli."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import psycopg
import pytest

from scheduler_bridge.commands.access import Access
from scheduler_bridge.commands.client import CommandClient, ask, connect
from scheduler_bridge.commands.dialogue import HELP, Dialogue
from scheduler_bridge.commands.execution import Execution
from scheduler_bridge.commands.server import CommandPort
from scheduler_bridge.errors import BridgeError
from tests.commands import JOB_7, JOB_14, SCHEDULER, MemoryControl, MemoryOrders
from tests.integration.command_line import Cli, as_process, here
from tests.integration.fleet import until

NOT_CONNECTED = 255
STATUS_TEXT = (SCHEDULER + JOB_7 + JOB_14).decode()


class Strangers(Access):
    """Trusts nobody for the address."""

    def trusts(self, peer: str) -> bool:
        return False


@pytest.fixture
def orders() -> MemoryOrders:
    return MemoryOrders()


@pytest.fixture
def control(orders: MemoryOrders) -> MemoryControl:
    return MemoryControl(orders)


@pytest.fixture
def access() -> Access:
    """Overridden by parameters of a test."""
    return Access()


@pytest.fixture
def port(orders: MemoryOrders, control: MemoryControl, access: Access) -> Iterator[CommandPort]:
    opened = CommandPort(Execution(orders, control).answer, [("127.0.0.1", 0)], access=access)
    opened.start()
    yield opened
    opened.stop()


@pytest.fixture
def client(port: CommandPort) -> Iterator[CommandClient]:
    with closing(connect("localhost", port.bound[0][1])) as opened:
        yield opened


@pytest.fixture
def pointing(port: CommandPort, config_folder: Path) -> dict[str, str]:
    """An environment whose configuration folder names the port."""
    number = port.bound[0][1]
    (config_folder / "fossology.conf").write_text(f"[FOSSOLOGY]\nport = {number}\naddress = 127.0.0.1\n")
    environment = {name: value for name, value in os.environ.items() if "SCHEDULER_BRIDGE" not in name}
    return {**environment, "FO_SYSCONFDIR": str(config_folder)}


@pytest.fixture
def cli(pointing: dict[str, str]) -> Cli:
    """Run `scheduler-bridge cli` in this process."""
    return partial(here(pointing), "cli")


@pytest.fixture
def program(pointing: dict[str, str]) -> Cli:
    """Run it as a process: where commands are typed."""
    return partial(as_process(pointing), "cli")


def talk(client: CommandClient, typed: str) -> list[str]:
    """What is shown to somebody who types that, and then ends the input."""
    shown: list[str] = []
    reading, writing = os.pipe()
    try:
        os.write(writing, typed.encode())
        os.close(writing)
        Dialogue(client, reading, shown.append).run()
    finally:
        os.close(reading)
    return shown


def test_status_prints_the_lines_between_received_and_end(program: Cli) -> None:
    assert program("-S").stdout == STATUS_TEXT


def test_several_commands_are_sent_in_the_order_in_which_they_make_sense(
    cli: Cli, orders: MemoryOrders, control: MemoryControl
) -> None:
    done = cli("-s", "-a", "-l", "-v", "952", "-P", "14", "-d", "-R", "7", "-r")
    assert done.stdout == "excl one simple tracer \nhost:localhost address:localhost max:10 running:0\n\n"
    assert orders.told == [("restart", 7), ("pause", 14)]
    until(lambda: control.told == ["reload", "wake", "wake", "stop"], "the end, which is told last")
    assert control.verbosity == 952


def test_a_number_of_a_job_is_not_cut_to_a_byte(cli: Cli, orders: MemoryOrders) -> None:
    orders.jobs[300] = orders.jobs[7]
    cli("--pause", "300", "--die")
    assert orders.told == [("pause", 300)]


def test_options_are_stronger_than_the_configuration_folder(cli: Cli, port: CommandPort) -> None:
    number = port.bound[0][1]
    assert cli("-H", "localhost", "-p", str(number), "--database").stdout == ""
    failed = cli("-c", "/nowhere", "-S", status=1)
    assert "/nowhere" in failed.stderr


def test_nothing_that_answers_is_told_by_the_exit_status(cli: Cli, port: CommandPort) -> None:
    port.stop()
    failed = cli("-S", status=NOT_CONNECTED)
    assert failed.stdout == ""
    assert "refused" in failed.stderr


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a..b", "x" * 70])
def test_a_host_that_is_none_cannot_be_connected_to(host: str) -> None:
    with pytest.raises(OSError):
        connect(host, 24693)


@pytest.mark.parametrize("access", [Strangers("open sesame")])
def test_a_token_comes_from_a_file(cli: Cli, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("open sesame\n")
    assert cli("--token-file", str(token), "-S").stdout == STATUS_TEXT
    assert "not authorized" in cli("-S", status=1).stderr


def test_lines_that_are_typed_are_commands(program: Cli, orders: MemoryOrders) -> None:
    shown = program(text='pause 7\nkill 14 "Bye Bye"\nstatus 7').stdout.splitlines()
    own_help = HELP.splitlines()
    assert shown[: len(own_help)] == own_help
    assert shown[len(own_help) :] == [
        "Command received",
        "Command received",
        "Command received",
        JOB_7.decode().rstrip("\n"),
        "agent:3538 host:localhost type:tracer status:AGENT_PAUSED time:2026-11-21 07:50:08",
        "Command received",
        "CLOSE",
    ]
    assert orders.told == [("pause", 7), ("kill", 14, "Bye Bye")]


def test_a_quiet_dialogue_shows_replies_only(program: Cli) -> None:
    assert (
        program("-q", text="verbose\nclose\n").stdout
        == "Command received\nlevel: 3\nCommand received\nCLOSE\n"
    )


def test_no_two_typed_commands_end_up_in_one_read(client: CommandClient, orders: MemoryOrders) -> None:
    lines = ["pause 7\n", "!!!\n", "\n", "foo\n"]
    talk(client, "".join(lines[number % 4] for number in range(20)))
    assert orders.told == [("pause", 7)] * 5


def test_help_and_a_line_that_is_too_long_stay_here(client: CommandClient, orders: MemoryOrders) -> None:
    shown = talk(client, "help\npause 7" + " " * 1000 + "x" * 1000 + "\ndie\nstatus\n")
    assert shown == [HELP, "a command has fewer than 1024 bytes", "Command received", "CLOSE"]
    assert not orders.told


def test_a_dialogue_ends_when_the_scheduler_goes(client: CommandClient, port: CommandPort) -> None:
    reading, writing = os.pipe()
    failures: list[BaseException] = []
    shown: list[str] = []

    def run() -> None:
        try:
            Dialogue(client, reading, shown.append).run()
        except BridgeError as error:
            failures.append(error)

    talking = threading.Thread(target=run)
    talking.start()
    port.stop()
    talking.join(30)
    os.close(reading)
    os.close(writing)
    assert [str(error) for error in failures] == ["the scheduler has closed the connection"]
    assert not shown


def test_an_answer_that_breaks_off_is_an_error(client: CommandClient, orders: MemoryOrders) -> None:
    orders.fault = psycopg.OperationalError("away")
    with pytest.raises(BridgeError, match="broke off"):
        list(ask(client, ["status"]))
    with pytest.raises(BridgeError, match="closed the connection without taking 'status'"):
        list(ask(client, ["status"]))


def test_a_line_without_an_end_is_not_waited_for_for_ever() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        flooding = threading.Thread(target=flood, args=(server,))
        flooding.start()
        with (
            closing(connect("127.0.0.1", server.getsockname()[1])) as client,
            pytest.raises(BridgeError, match="broke off"),
        ):
            list(ask(client, ["status"]))
        flooding.join()


def flood(server: socket.socket) -> None:
    opened, _ = server.accept()
    with opened:
        opened.recv(1024)
        opened.sendall(b"received\n")
        try:
            while True:
                opened.sendall(b"x" * 65_536)
        except ConnectionError:
            return
