"""How a trial must end: a few lines over the rows and what each agent does; knows nothing of the product."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from tests.chaos.streams import Job

COMPLETED, FAILED = "Completed", "Failed"


def endings(
    jobs: Sequence[Job], broken: Collection[int] = (), killed: Collection[int] = ()
) -> dict[int, str]:
    """How each job ends, by position: a job fails by itself, with a prerequisite, or because it is in a cycle.

    `broken` are those whose own agent has failed, whatever its kind; `killed` those that an order has ended.
    """
    found: dict[int, str] = {}
    waiting = set(range(len(jobs)))
    while ready := [job for job in waiting if all(need in found for need in jobs[job].needs)]:
        for job in ready:
            doomed = any(found[need] == FAILED for need in jobs[job].needs)
            fails = doomed or job in broken or job in killed or not jobs[job].kind.completes
            found[job] = FAILED if fails else COMPLETED
        waiting.difference_update(ready)
    return found | dict.fromkeys(waiting, FAILED)  # what is left waits for itself


def seconds_left(jobs: Sequence[Job], ended: Collection[int], slots: int) -> float:
    """How long the rest takes at the least: the longest way through it, or all of it on all slots."""
    ways: dict[int, float] = {}
    for position, job in enumerate(jobs):
        before = max((ways.get(need, 0.0) for need in job.needs if need < position), default=0.0)
        ways[position] = before + (0.0 if position in ended else job.seconds)
    work = sum(job.seconds for position, job in enumerate(jobs) if position not in ended)
    return max([work / slots, *ways.values()])


def too_early(
    jobs: Sequence[Job], began: Mapping[int, float], ended: Mapping[int, float]
) -> list[tuple[int, int]]:
    """Jobs whose agent was given work before one that they need had ended, with that one."""
    return [
        (position, need)
        for position, job in enumerate(jobs)
        for need in job.needs
        if position in began and began[position] < ended.get(need, 0.0)
    ]
