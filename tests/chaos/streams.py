"""Random job streams of one trial; pure, the same for the same random numbers."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tests.chaos.kinds import KINDS, UNKNOWN, Kind, kind_of

HOSTS = ("w1", "w2")
STREAMS = (2, 4)
BATCHES = (1, 3)  # of a stream: the first at once, the others while it runs
JOBS = (2, 5)  # of a batch
LATEST_SECONDS = 4.0  # of the last batch
MOST_NEEDS = 3
CHANCE_OF_ELSEWHERE = 0.12  # that a job needs one of another stream
CHANCE_OF_HOST = 0.2
CHANCE_OF_UNKNOWN = 0.02
CHANCE_OF_CYCLE = 0.08  # a trial


@dataclass(frozen=True, slots=True)
class Job:
    """A row to be; jobs are known by their position in the trial."""

    stream: int
    agent_type: str
    needs: tuple[int, ...] = ()  # positions before its own, but in a cycle
    tenths: int = 0  # an agent of our own works so long
    host: str | None = None

    @property
    def kind(self) -> Kind:
        """How its agent is."""
        return kind_of(self.agent_type)

    @property
    def seconds(self) -> float:
        """How long it takes at the least."""
        return self.tenths / 10 + self.kind.seconds


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one stream that are inserted at one moment."""

    at: float  # seconds from the trial's start
    stream: int
    jobs: tuple[int, ...]  # positions
    together: bool  # in one transaction, else each in its own


@dataclass(frozen=True, slots=True)
class Streams:
    """All rows of a trial."""

    jobs: tuple[Job, ...]
    batches: tuple[Batch, ...]  # in the order of their times
    priorities: tuple[int, ...]  # by stream


def random_streams(chance: Random) -> Streams:
    """Two to four streams, each growing while it runs, some needing each other's jobs."""
    count = chance.randint(*STREAMS)
    times = sorted(
        (0.0 if number == 0 else chance.uniform(0.2, LATEST_SECONDS), stream)
        for stream in range(count)
        for number in range(chance.randint(*BATCHES))
    )
    jobs: list[Job] = []
    batches: list[Batch] = []
    for at, stream in times:
        first = len(jobs)
        for _ in range(chance.randint(*JOBS)):
            jobs.append(_random_job(chance, jobs, stream))
        batches.append(Batch(at, stream, tuple(range(first, len(jobs))), chance.random() < 0.5))
    if chance.random() < CHANCE_OF_CYCLE:
        batches.append(_cycle(jobs, stream=count - 1))
    return Streams(tuple(jobs), tuple(batches), tuple(chance.choice((-3, 0, 0, 5)) for _ in range(count)))


def one_job_a_host(streams: Streams, at: float) -> Streams:
    """With one more stream: whoever cannot run its jobs when all faults are over does not work any more."""
    stream = len(streams.priorities)
    added = tuple(Job(stream, "good0", tenths=1, host=host) for host in (*HOSTS, None))
    positions = tuple(range(len(streams.jobs), len(streams.jobs) + len(added)))
    batch = Batch(at, stream, positions, True)
    return Streams(streams.jobs + added, (*streams.batches, batch), (*streams.priorities, 0))


def _random_job(chance: Random, before: list[Job], stream: int) -> Job:
    names = list(KINDS)
    name = chance.choices(names, [kind.weight for kind in KINDS.values()])[0]
    agent_type = f"{name}{chance.randrange(KINDS[name].names)}"
    if chance.random() < CHANCE_OF_UNKNOWN:
        agent_type = UNKNOWN
    tenths = chance.randint(0, kind_of(agent_type).longest)
    own = [position for position, job in enumerate(before) if job.stream == stream][-6:]
    others = [position for position, job in enumerate(before) if job.stream != stream]
    needs = set(chance.sample(own, chance.randint(0, min(MOST_NEEDS, len(own)))))
    if others and chance.random() < CHANCE_OF_ELSEWHERE:
        needs.add(chance.choice(others))
    host = chance.choice(HOSTS) if chance.random() < CHANCE_OF_HOST else None
    return Job(stream, agent_type, tuple(sorted(needs)), tenths, host)


def _cycle(jobs: list[Job], stream: int) -> Batch:
    first = len(jobs)
    jobs += [Job(stream, "good0", (first + 1,)), Job(stream, "good0", (first,))]
    return Batch(LATEST_SECONDS, stream, (first, first + 1), True)
