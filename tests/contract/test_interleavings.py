""" "Not yet" and "finished" cannot miss each other: real transactions in every order, and no sweep.

A step is a statement of the store or its commit. Each schedule has a stream of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import psycopg
import pytest

from scheduler_bridge.model.agents import Host
from scheduler_bridge.model.jobs import Outcome, Work
from scheduler_bridge.plan.admission import Obstacle, ObstacleKind
from scheduler_bridge.store.port import Held, JobStore
from tests.builders import a_job, a_stream
from tests.contract.fleet import configure
from tests.contract.queues import PostgresSide
from tests.contract.schedules import Stage, SteppedStore, halves, merges
from tests.contract.steps import COMPLETED, FAILED, claimed, done, numbers, plan, planned, refused, running

DEPENDENCY_FAILED = (False, True, "dependency failed", 2)
QUEUED = (False, False, None, 0)
END_AND_LOOK = 4  # steps: finish, commit, startable, commit
LOOK = 4  # steps: slice, commit, settle, commit
CLAIM = 4  # steps of a claim that asks twice: claim, commit, claim, commit; more follow the schedule
FAN_IN = a_stream(a_job("license"), a_job("copyright"), a_job("report", needs=("license", "copyright")))
ONE_SLOT = Host("h1", 1)
PAIR = a_stream(a_job("unpack"), a_job("license", needs="unpack"))


Shared = tuple[str, psycopg.Connection[Any]]


@dataclass(frozen=True)
class Scene:
    """A queue and the workers on it."""

    queue: PostgresSide
    stage: Stage

    @property
    def store(self) -> JobStore:
        return self.queue.store


@pytest.fixture(scope="module")
def stage(shared_database: Shared) -> Iterator[Stage]:
    """Two workers."""
    made = Stage(shared_database[0], 2)
    yield made
    made.close()


@pytest.fixture
def scene(stage: Stage, shared_database: Shared) -> Iterator[Scene]:
    """An empty, configured queue and the workers."""
    queue = PostgresSide(*shared_database)
    queue.empty()
    configure(queue.store)
    yield Scene(queue, stage)
    queue.postgres.close()


def end(work: Work, outcome: Outcome = COMPLETED) -> Callable[[SteppedStore], list[int]]:
    """Finish, then look; the heads of what is to be published."""

    def act(store: SteppedStore) -> list[int]:
        assert store.finish(work, outcome)
        found = store.startable(work)
        return [line[0] for line in numbers([*found.freed, *found.refill])]

    return act


def claim(job: int, host: str = "h2") -> Callable[[SteppedStore], Work | Obstacle]:
    """Claim as a worker does."""
    return lambda store: store.claim(job, f"worker@{host}", host)


def several(scene: Scene, *agent_types: str) -> list[int]:
    """Jobs that need nothing, planned."""
    rows = (a_job(name, name=f"job{place}") for place, name in enumerate(agent_types))
    return list(planned(scene.queue, a_stream(*rows)).jobs.values())


def test_two_prerequisites_that_end_together_free_their_dependent(scene: Scene) -> None:
    for schedule in merges(END_AND_LOOK, END_AND_LOOK):
        inserted = planned(scene.queue, FAN_IN)
        works = [running(scene.store, inserted[name]) for name in ("license", "copyright")]
        first, second = scene.stage.play(schedule, [end(work) for work in works])
        assert sorted(first + second) == [inserted["report"]], schedule
        done(scene.store, inserted["report"])


def test_a_dependent_is_claimed_or_freed_when_its_prerequisite_ends(scene: Scene) -> None:
    for schedule in merges(END_AND_LOOK, CLAIM):
        inserted = planned(scene.queue, PAIR)
        work = running(scene.store, inserted["unpack"])
        freed, answer = scene.stage.play(schedule, [end(work), claim(inserted["license"])])
        assert isinstance(answer, Work) or freed == [inserted["license"]], (schedule, answer)
        if isinstance(answer, Obstacle):
            answer = claimed(scene.store, inserted["license"])
        assert scene.store.finish(answer, COMPLETED)


@pytest.mark.parametrize(
    ("running_type", "waiting_type", "kind"),
    [
        ("single", "single", ObstacleKind.TYPE_FULL),
        ("license", "report", ObstacleKind.HOST_FULL),
        ("license", "alone", ObstacleKind.EXCLUSIVE_WAITS),
        ("alone", "license", ObstacleKind.EXCLUSIVE_RUNS),
        ("alone", "alone", ObstacleKind.EXCLUSIVE_RUNS),
    ],
)
def test_a_job_refused_for_a_limit_is_claimed_or_freed_when_the_limit_is(
    scene: Scene, running_type: str, waiting_type: str, kind: ObstacleKind
) -> None:
    host = "h1" if kind is ObstacleKind.HOST_FULL else "h2"
    scene.store.register_host(ONE_SLOT, "worker@h1", ["license"])
    for schedule in merges(END_AND_LOOK, CLAIM):
        first, waiting = several(scene, running_type, waiting_type)
        work = running(scene.store, first, "h1")
        freed, answer = scene.stage.play(schedule, [end(work), claim(waiting, host)])
        assert isinstance(answer, Work) or answer.kind is kind
        assert isinstance(answer, Work) or freed == [waiting], (schedule, answer)
        if isinstance(answer, Obstacle):
            answer = claimed(scene.store, waiting)
        assert scene.store.finish(answer, COMPLETED)


@pytest.mark.parametrize(("agent_type", "host"), [("double", "h2"), ("license", "h1")])
def test_two_ends_free_two_jobs_that_wait_for_the_same_limit(
    scene: Scene, agent_type: str, host: str
) -> None:
    for schedule in halves(END_AND_LOOK):
        first, second, *waiting = several(scene, *[agent_type] * 5)
        works = [running(scene.store, job, host) for job in (first, second)]
        for job in waiting:
            refused(scene.store, job, host)
        freed = scene.stage.play(schedule, [end(work) for work in works])
        assert sorted(freed[0] + freed[1]) == waiting[:2], schedule
        for job in waiting:
            done(scene.store, job, host=host)


def test_two_claims_of_one_job_make_one_attempt(scene: Scene) -> None:
    for schedule in halves(CLAIM):
        (job,) = several(scene, "unpack")
        answers = scene.stage.play(schedule, [claim(job, "h1"), claim(job, "h2")])
        winners = [answer for answer in answers if isinstance(answer, Work)]
        losers = [answer.kind for answer in answers if isinstance(answer, Obstacle)]
        assert (len(winners), losers) == (1, [ObstacleKind.TAKEN]), schedule
        assert len(scene.queue.ledger(job)) == 1
        assert scene.store.finish(winners[0], COMPLETED)


@pytest.mark.parametrize(
    ("first_type", "second_type"),
    [("single", "single"), ("alone", "license"), ("alone", "alone"), ("license", "report")],
)
def test_two_claims_never_go_over_a_limit(scene: Scene, first_type: str, second_type: str) -> None:
    scene.store.register_host(ONE_SLOT, "worker@h1", ["license"])
    for schedule in merges(CLAIM, CLAIM):
        jobs = several(scene, first_type, second_type)
        answers = scene.stage.play(schedule, [claim(job, "h1") for job in jobs])
        winners = [answer for answer in answers if isinstance(answer, Work)]
        assert len(winners) == 1, schedule
        assert scene.store.finish(winners[0], COMPLETED)
        (waiting,) = set(jobs) - {winners[0].job}
        assert [line[0].job for line in scene.store.startable(winners[0]).freed] == [waiting], schedule
        done(scene.store, waiting)


def test_a_failure_and_a_completion_that_end_together_fail_their_dependent(scene: Scene) -> None:
    for schedule in merges(END_AND_LOOK, END_AND_LOOK):
        inserted = planned(scene.queue, FAN_IN)
        works = [running(scene.store, inserted[name]) for name in ("license", "copyright")]
        freed = scene.stage.play(schedule, [end(works[0], COMPLETED), end(works[1], FAILED)])
        assert freed == [[], []], schedule
        assert scene.queue.read(inserted["report"]).status == DEPENDENCY_FAILED


def test_two_failures_fail_what_depends_on_both_whatever_the_order(scene: Scene) -> None:
    """The first failure meets its dependents in the order of their numbers, the second against it."""
    for schedule in merges(END_AND_LOOK, END_AND_LOOK):
        first, second, *dependents = several(scene, *["license"] * 5)
        for job, needs in [*zip(dependents, [first, *dependents], strict=False)]:
            scene.queue.depend(job, needs)
        scene.queue.depend(dependents[2], second)
        scene.queue.postgres.sweep(60)
        works = [running(scene.store, job) for job in (first, second)]
        assert scene.stage.play(schedule, [end(work, FAILED) for work in works]) == [[], []], schedule
        assert {scene.queue.read(job).status for job in dependents} == {DEPENDENCY_FAILED}
        assert [len(scene.queue.ledger(job)) for job in dependents] == [1, 1, 1]


@pytest.mark.parametrize("outcome", [COMPLETED, FAILED])
def test_a_row_that_is_taken_in_while_its_prerequisite_ends_is_not_forgotten(
    scene: Scene, outcome: Outcome
) -> None:
    """The bridge: observe, commit, lease, commit, read, record, commit. Every fifth of 330 orders."""
    origin = planned(scene.queue, a_stream(a_job("unpack")))
    for schedule in islice(merges(END_AND_LOOK, 7), None, None, 5):
        first = scene.queue.add(origin.stream, a_job("license"))
        plan(scene.store)
        work = running(scene.store, first)
        more = scene.queue.add(origin.stream, a_job("report", needs=first))
        freed, published = scene.stage.play(schedule, [end(work, outcome), plan])
        if outcome is FAILED:
            assert scene.queue.read(more).status == DEPENDENCY_FAILED, schedule
        else:
            assert freed == [more] or published == [[more]], schedule
            done(scene.store, more)


def test_a_worker_that_is_late_and_a_sweep_do_not_both_end_an_attempt(scene: Scene) -> None:
    for schedule in merges(END_AND_LOOK, 2):
        inserted = planned(scene.queue, PAIR)
        work = running(scene.store, inserted["unpack"])
        scene.queue.pass_time(31)

        def late(store: SteppedStore, work: Work = work) -> list[list[int]] | None:
            written = store.finish(work, COMPLETED)
            found = store.startable(work)
            return numbers(found.freed) if written else None

        freed, reclaimed = scene.stage.play(schedule, [late, SteppedStore.reclaim])
        if freed is None:
            assert reclaimed == [work.job], schedule
            assert scene.queue.read(work.job).status == (False, False, None, 0)
            done(scene.store, work.job)
        else:
            assert (freed, reclaimed) == ([[inserted["license"]]], []), schedule
        done(scene.store, inserted["license"])


def test_a_renewal_and_a_sweep_agree_who_has_the_job(scene: Scene) -> None:
    for schedule in merges(2, 2):
        (job,) = several(scene, "unpack")
        work = running(scene.store, job)
        scene.queue.pass_time(31)

        def renew(store: SteppedStore, work: Work = work) -> set[int]:
            return set(store.renew("worker@h1", [Held(work.job, work.epoch, 1)]))

        held, reclaimed = scene.stage.play(schedule, [renew, SteppedStore.reclaim])
        assert (held, reclaimed) in (({job}, []), (set(), [job])), schedule
        assert scene.store.finish(work if held else claimed(scene.store, job), COMPLETED)


def test_a_renewal_beside_the_first_ok_keeps_the_job(scene: Scene) -> None:
    for schedule in merges(2, 2):
        (job,) = several(scene, "unpack")
        work = claimed(scene.store, job)
        start, renew = (
            lambda store, work=work: store.started(work, 4711),
            lambda store, work=work: set(store.renew("worker@h1", [Held(work.job, work.epoch, 0)])),
        )
        assert scene.stage.play(schedule, [start, renew]) == [True, {job}], schedule
        scene.store.finish(work, COMPLETED)


def test_a_failure_that_is_run_again_while_it_is_told_fails_no_dependent(scene: Scene) -> None:
    for schedule in merges(END_AND_LOOK, 2):
        inserted = planned(scene.queue, PAIR)
        work = running(scene.store, inserted["unpack"])
        rerun = partial(SteppedStore.rerun, stream=inserted.stream)
        scene.stage.play(schedule, [end(work, FAILED), rerun])
        statuses = [scene.queue.read(job).status for job in inserted.jobs.values()]
        if statuses[0] == QUEUED:
            assert statuses[1] == QUEUED, schedule
            plan(scene.store)
            done(scene.store, inserted["unpack"])
            done(scene.store, inserted["license"])
        else:
            assert statuses == [(True, True, "Failed", 2), DEPENDENCY_FAILED], schedule


def test_a_sweep_fails_nothing_for_a_failure_that_is_run_again(scene: Scene) -> None:
    for schedule in merges(LOOK, 2):
        origin = planned(scene.queue, a_stream(a_job("unpack")))
        done(scene.store, origin["unpack"], FAILED)
        late = scene.queue.add(origin.stream, a_job("license", needs=origin["unpack"]))
        scene.store.observe()
        rerun = partial(SteppedStore.rerun, stream=origin.stream)
        scene.stage.play(schedule, [SteppedStore.look, rerun])
        plan(scene.store)
        assert scene.queue.read(late).status == QUEUED, schedule
        done(scene.store, origin["unpack"])
        done(scene.store, late)
