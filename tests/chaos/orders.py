"""Random orders of people in one trial; pure, the same for the same random numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from random import Random

CHANCE_OF_ORDERS = 0.7  # a trial
ORDERS = (1, 3)
FIRST_SECONDS, LAST_SECONDS = 0.3, 8.0  # of an order
CHANCE_OF_RUNNING = 0.7  # that it is for a job whose agent is under way, if there is one; else for any
SHORTEST_SECONDS, LONGEST_SECONDS = 0.3, 7.0  # of a pause: twice the lease


class Verb(Enum):
    """What is ordered; the value is for the history."""

    KILL = "kill"
    PAUSE = "pause"  # and `restart` a while later
    DRAIN = "drain"
    RERUN = "rerun --failed"
    RESET = "set back"  # the row of a job that runs, by hand, as FOSSology's pages do


WEIGHTS: Mapping[Verb, int] = {Verb.KILL: 5, Verb.PAUSE: 6, Verb.DRAIN: 3, Verb.RERUN: 3, Verb.RESET: 3}


@dataclass(frozen=True, slots=True)
class Order:
    """One order."""

    at: float  # seconds from the trial's start
    verb: Verb
    number: float  # which job, host or stream of those that there are, 0 to 1
    running: bool = True  # a job whose agent is under way
    seconds: float = 0.0  # from a pause to the restart


def random_orders(chance: Random) -> tuple[Order, ...]:
    """None, or one to three, in the order of their times."""
    if chance.random() >= CHANCE_OF_ORDERS:
        return ()
    orders = [_random_order(chance) for _ in range(chance.randint(*ORDERS))]
    return tuple(sorted(orders, key=lambda order: order.at))


def _random_order(chance: Random) -> Order:
    verb = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    return Order(
        chance.uniform(FIRST_SECONDS, LAST_SECONDS),
        verb,
        chance.random(),
        chance.random() < CHANCE_OF_RUNNING or verb is Verb.RESET,
        chance.uniform(SHORTEST_SECONDS, LONGEST_SECONDS) if verb is Verb.PAUSE else 0.0,
    )
