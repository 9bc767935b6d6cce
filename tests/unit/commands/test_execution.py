"""Commands are carried out against the orders and the process, and answered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_bridge.commands.execution import Answer, Execution
from scheduler_bridge.commands.grammar import Close, Command, Database, Die, Invalid, Stop, parse
from scheduler_bridge.commands.replies import RECEIVED, JobLine, JobStatus
from tests.commands import TRANSCRIPTS, MemoryControl, MemoryOrders


@pytest.fixture
def orders() -> MemoryOrders:
    return MemoryOrders()


@pytest.fixture
def control(orders: MemoryOrders) -> MemoryControl:
    return MemoryControl(orders)


@pytest.fixture
def execution(orders: MemoryOrders, control: MemoryControl) -> Execution:
    return Execution(orders, control)


def command(data: bytes) -> Command:
    parsed = parse(data)
    assert not isinstance(parsed, Invalid)
    return parsed


def answered(execution: Execution, data: bytes) -> bytes:
    parsed = parse(data)
    if isinstance(parsed, Invalid):
        return (RECEIVED if parsed.received else b"") + parsed.reply
    return RECEIVED + execution.answer(parsed).reply


@pytest.mark.parametrize(("sent", "reply"), TRANSCRIPTS, ids=[repr(sent) for sent, _ in TRANSCRIPTS])
def test_every_command_is_answered_as_today(execution: Execution, sent: bytes, reply: bytes) -> None:
    assert answered(execution, sent) == reply


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b'kill 7 "Killed by Fossy"', ("kill", 7, "Killed by Fossy")),
        (b"pause 7", ("pause", 7)),
        (b"restart 14", ("restart", 14)),
        (b"priority 7 -20", ("priority", 7, -20)),
        (b"verbose 7 3", ("verbose", 7, 3)),
    ],
)
def test_an_order_reaches_its_job(
    execution: Execution, orders: MemoryOrders, sent: bytes, told: tuple[object, ...]
) -> None:
    execution.answer(command(sent))
    assert orders.told == [told]


@pytest.mark.parametrize(
    "sent", [b'kill %d "x"', b"pause %d", b"restart %d", b"priority %d 1", b"verbose %d 1"]
)
@pytest.mark.parametrize("job", [2**31, -(2**31) - 1, 10**500])
def test_the_database_is_not_asked_for_a_number_that_no_row_can_have(sent: bytes, job: int) -> None:
    orders = MemoryOrders(fault=OverflowError("asked"))
    Execution(orders, MemoryControl(orders)).answer(command(sent % job))
    assert not orders.told


def test_status_sees_a_job_that_was_queued_just_before(execution: Execution, orders: MemoryOrders) -> None:
    orders.unseen.append(JobLine(31, JobStatus.CHECKEDOUT, "nomos"))
    execution.answer(Database())
    assert b"job:31 status:JOB_CHECKEDOUT type:nomos, " in execution.answer(command(b"status")).reply


def test_status_of_one_job_sees_a_job_that_was_queued_just_before(
    execution: Execution, orders: MemoryOrders
) -> None:
    orders.unseen.append(JobLine(31, JobStatus.CHECKEDOUT, "nomos"))
    assert execution.answer(command(b"status 31")).reply.startswith(b"job:31 ")


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"database", "wake"),
        (b"reload", "reload"),
        (b"stop", "stop"),
        (b"die", "die"),
        (b"restart 14", "wake"),
    ],
)
def test_the_process_is_told(execution: Execution, control: MemoryControl, sent: bytes, told: str) -> None:
    execution.answer(command(sent))
    assert control.told == [told]


@pytest.mark.parametrize("sent", [Close(), Stop(), Die()])
def test_an_ending_closes_the_connection(execution: Execution, sent: Command) -> None:
    assert execution.answer(sent) == Answer(b"CLOSE\n", closes=True)


def test_the_verbosity_that_was_set_is_shown(execution: Execution) -> None:
    execution.answer(command(b"verbose 952"))
    assert execution.answer(command(b"verbose")).reply.endswith(b"mask: 0 0 0 1 1 1 0 1 1 1 0 0 0 0 0 0 \n")
    assert b" verbose:952\n" in execution.answer(command(b"status")).reply


def test_a_verbosity_that_does_not_fit_changes_nothing(execution: Execution, control: MemoryControl) -> None:
    execution.answer(command(b"verbose 99999999999"))
    assert control.verbosity == 3


@given(st.binary(max_size=1024))
def test_nothing_but_a_reply_ever_comes_out(data: bytes) -> None:
    orders = MemoryOrders()
    reply = answered(Execution(orders, MemoryControl(orders)), data)
    assert reply.startswith((b"received\n", b"Invalid command: "))
