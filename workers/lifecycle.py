"""The states of an agent, and the only ways from one to another.

The states are those of the pre-2.0 manual (`ST_...`), which describe today's agents too: these merely never
go back to READY for another job. READY -> RUNNING -> READY is the life of a warm agent. A death in FREEING
was ordered or announced; from any other state it is abnormal and counts against the respawn budget of its
agent type.
"""

from __future__ import annotations

from enum import Enum


class AgentState(Enum):
    """Where an agent is; the value explains it."""

    FREE = "no process"
    PREP = "chosen, about to be started"
    SPAWNED = "process started, has not said OK yet"
    READY = "waits for data"
    RUNNING = "works on data"
    FREEING = "told to end, or has said BYE"
    FAILED = "died too often: not started for some minutes"


class AgentEvent(Enum):
    """What happens to an agent."""

    CHOSEN = "chosen for a job"
    SPAWNED = "process started"
    NOT_SPAWNED = "process could not be started"
    OK = "agent says OK"
    DATA = "data sent"
    BYE = "agent says BYE"
    STOP = "told to end or killed"
    DEATH = "process has ended"
    BUDGET_SPENT = "respawn budget spent"
    BUDGET_RESTORED = "respawn interval over"


TRANSITIONS: dict[tuple[AgentState, AgentEvent], AgentState] = {
    (AgentState.FREE, AgentEvent.CHOSEN): AgentState.PREP,
    (AgentState.FREE, AgentEvent.BUDGET_SPENT): AgentState.FAILED,
    (AgentState.FAILED, AgentEvent.BUDGET_RESTORED): AgentState.FREE,
    (AgentState.PREP, AgentEvent.SPAWNED): AgentState.SPAWNED,
    (AgentState.PREP, AgentEvent.NOT_SPAWNED): AgentState.FREE,
    (AgentState.SPAWNED, AgentEvent.OK): AgentState.READY,
    (AgentState.SPAWNED, AgentEvent.BYE): AgentState.FREEING,
    (AgentState.SPAWNED, AgentEvent.STOP): AgentState.FREEING,
    (AgentState.SPAWNED, AgentEvent.DEATH): AgentState.FREE,
    (AgentState.READY, AgentEvent.OK): AgentState.READY,  # said twice: harmless
    (AgentState.READY, AgentEvent.DATA): AgentState.RUNNING,
    (AgentState.READY, AgentEvent.BYE): AgentState.FREEING,
    (AgentState.READY, AgentEvent.STOP): AgentState.FREEING,
    (AgentState.READY, AgentEvent.DEATH): AgentState.FREE,
    (AgentState.RUNNING, AgentEvent.OK): AgentState.READY,
    (AgentState.RUNNING, AgentEvent.BYE): AgentState.FREEING,
    (AgentState.RUNNING, AgentEvent.STOP): AgentState.FREEING,
    (AgentState.RUNNING, AgentEvent.DEATH): AgentState.FREE,
    (AgentState.FREEING, AgentEvent.OK): AgentState.FREEING,  # ends what it was doing first
    (AgentState.FREEING, AgentEvent.BYE): AgentState.FREEING,
    (AgentState.FREEING, AgentEvent.STOP): AgentState.FREEING,
    (AgentState.FREEING, AgentEvent.DEATH): AgentState.FREE,
}


class IllegalTransition(Exception):
    """We moved an agent in a way its lifecycle does not know; nothing has changed."""


def advance(state: AgentState, event: AgentEvent) -> AgentState:
    """The state after `event`; IllegalTransition where there is none."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"{event.name} in state {state.name}") from None


def as_markdown() -> str:
    """The page docs/lifecycle.md, which is generated from the table above."""
    states = [f"| {state.name} | {state.value} |" for state in AgentState]
    moves = [f"| {state.name} | {event.value} | {to.name} |" for (state, event), to in TRANSITIONS.items()]
    return "\n".join(
        [
            "# Lifecycle of an agent",
            "",
            "Generated from `workers/lifecycle.py` by `python -m workers.lifecycle > docs/lifecycle.md`.",
            "",
            "| state | meaning |",
            "| --- | --- |",
            *states,
            "",
            "| in state | when | becomes |",
            "| --- | --- | --- |",
            *moves,
            "",
            "Whatever is not in this table cannot happen to an agent: the attempt is an error of ours.",
            "",
        ]
    )


if __name__ == "__main__":
    print(as_markdown(), end="")
