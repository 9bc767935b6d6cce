"""Jobs and their dependencies -> a plan, the dependencies it cannot express, and what is wrong with them.

The plan is the series-parallel form of the order among the given jobs: exact where there is one, and
otherwise never stricter than the dependencies demand (see `form`). A dependency that the plan does not
express is *cross* and left to the row: the claim refuses the job until it is satisfied. Cross is also every
dependency on a job elsewhere, in another stream or already under way.

How many cross dependencies an order without such a form costs depends on the order in which jobs are added,
which is by depth and number; the smallest number possible is not searched for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from scheduler_bridge.model.jobs import Job
from scheduler_bridge.plan.faults import Fault, Needs, find_faults, sound_jobs
from scheduler_bridge.plan.form import Form
from scheduler_bridge.plan.tree import Plan, jobs_of

NOTHING_ELSEWHERE: Mapping[int, frozenset[int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Planned:
    """What planning a stream gave."""

    plan: Plan | None  # None: no job can go on
    cross: tuple[tuple[int, int], ...]  # (prerequisite, job) pairs the plan does not express, ordered by job
    faults: tuple[Fault, ...]  # the jobs in them, and all that need those, are not in the plan


@dataclass(frozen=True, slots=True)
class Outline:
    """A plan without its cross dependencies, which nobody needs who only proposes."""

    plan: Plan | None  # None: no job can go on
    faults: tuple[Fault, ...]
    needs: Needs  # of the jobs in the plan


def outline(jobs: Iterable[Job], elsewhere: Mapping[int, frozenset[int]] = NOTHING_ELSEWHERE) -> Outline:
    """Plan the not yet proposed jobs of one stream.

    `elsewhere` maps every other open job that can be reached over prerequisites to its own; a prerequisite that is
    neither here nor there is reported as missing.
    """
    ours: Needs = {job.job: job.needs for job in jobs}
    reachable: Needs = {**elsewhere, **ours}
    sound = sound_jobs(reachable)
    form = Form()
    order = [job for job in sound if job in ours]
    for job in order:
        form.add(job, ours[job])
    return Outline(form.plan(), find_faults(reachable, sound), {job: ours[job] for job in order})


def plan(jobs: Iterable[Job], elsewhere: Mapping[int, frozenset[int]] = NOTHING_ELSEWHERE) -> Planned:
    """The outline, with the dependencies that it does not express."""
    found = outline(jobs, elsewhere)
    return Planned(found.plan, _not_expressed(found.plan, found.needs), found.faults)


def _not_expressed(found: Plan | None, needs: Needs) -> tuple[tuple[int, int], ...]:
    """The dependencies that the two walks of the plan do not agree on."""
    forth = {job: number for number, job in enumerate(jobs_of(found))}
    back = {job: number for number, job in enumerate(jobs_of(found, mirrored=True))}
    return tuple(
        (need, job)
        for job in sorted(needs)
        for need in sorted(needs[job])
        if need not in forth or forth[need] > forth[job] or back[need] > back[job]
    )
