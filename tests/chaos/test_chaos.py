"""As much chaos as fits into every test run: fixed seeds that between them use every fault. More by `make chaos`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.faults import AGENT, FLEET, PROCESSES, SERVERS, Deed
from tests.chaos.fleet import Fleet, fleet
from tests.chaos.trial import Schedule, Trial

SEEDS = (351, 138, 220, 74, 27, 25)


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


def test_these_seeds_use_every_kind_of_fault_and_every_kind_of_target() -> None:
    faults = [fault for seed in SEEDS for fault in Schedule.of(seed).faults]
    assert {fault.deed for fault in faults} == set(Deed)
    targets = {fault.target.partition(">")[0].rstrip("12") for fault in faults}
    assert targets >= {name.rstrip("12") for name in PROCESSES} | {AGENT, FLEET, *SERVERS}


def test_a_seed_gives_the_same_schedule_again() -> None:
    assert Schedule.of(7) == Schedule.of(7) != Schedule.of(8)
