"""As much chaos as fits into every test run: fixed seeds that use every fault and order. More by `make chaos`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.faults import AGENT, FLEET, MACHINE, WORKER_OF_AGENT, Deed, Fault
from tests.chaos.fleet import Fleet, fleet
from tests.chaos.orders import Verb
from tests.chaos.trial import Schedule, Trial

# Twenty kinds of fault, six a seed at most: fewer seeds cannot use them all.
SEEDS = (49045, 48957, 35819, 52102)

PROCESSES = ("bridge", "worker", "beat", "housekeeping", "agent", "valkey", "postgres")
EVERY_FAULT = {
    *((deed, target) for deed in (Deed.KILL, Deed.STOP) for target in PROCESSES),
    (Deed.KILL, "fleet"),
    (Deed.STOP, "machine"),
    (Deed.FLUSH, "valkey"),
    (Deed.CUT, "connection"),
    (Deed.FREEZE, "connection"),
    (Deed.JUMP, "clock"),
}
NAMES = {
    AGENT: "agent",
    WORKER_OF_AGENT: "worker",
    FLEET: "fleet",
    MACHINE: "machine",
    "w": "worker",
}


def kind_of(fault: Fault) -> tuple[Deed, str]:
    """What is done, and to what kind of target."""
    if ">" in fault.target:
        return fault.deed, "clock" if fault.deed is Deed.JUMP else "connection"
    name = fault.target.rstrip("12")
    return fault.deed, NAMES.get(name, name)


@pytest.fixture(scope="module")
def under_attack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One fleet for all trials: what one has broken, the next one would show too."""
    with fleet(tmp_path_factory.mktemp("chaos")) as started:
        yield started


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_job_ends_once_and_as_the_model_says_whatever_is_broken(seed: int, under_attack: Fleet) -> None:
    result = Trial(under_attack, seed).play()
    assert not result.findings, "\n".join(map(str, [*result.findings, *result.history]))


def test_these_seeds_use_every_fault_and_every_order() -> None:
    assert {kind_of(fault) for seed in SEEDS for fault in Schedule.of(seed).faults} == EVERY_FAULT
    assert {order.verb for seed in SEEDS for order in Schedule.of(seed).orders} == set(Verb)


def test_no_other_fault_is_drawn() -> None:
    assert {kind_of(fault) for seed in range(500) for fault in Schedule.of(seed).faults} == EVERY_FAULT


def test_a_seed_gives_the_same_schedule_again() -> None:
    assert Schedule.of(7) == Schedule.of(7) != Schedule.of(8)
