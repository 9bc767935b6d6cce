"""The table of an agent's states."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.lifecycle import TRANSITIONS, AgentEvent, AgentState, IllegalTransition, advance, as_markdown

MANUAL_S_LIFE = [
    (AgentEvent.CHOSEN, AgentState.PREP),
    (AgentEvent.SPAWNED, AgentState.SPAWNED),
    (AgentEvent.OK, AgentState.READY),
    (AgentEvent.DATA, AgentState.RUNNING),
    (AgentEvent.OK, AgentState.READY),
    (AgentEvent.DATA, AgentState.RUNNING),
    (AgentEvent.OK, AgentState.READY),
    (AgentEvent.STOP, AgentState.FREEING),
    (AgentEvent.DEATH, AgentState.FREE),
]


def test_an_agent_lives_as_the_manual_says() -> None:
    state = AgentState.FREE
    for event, expected in MANUAL_S_LIFE:
        state = advance(state, event)
        assert state is expected


@pytest.mark.parametrize(
    ("state", "event"),
    [(state, event) for state in AgentState for event in AgentEvent if (state, event) not in TRANSITIONS],
)
def test_every_other_move_is_refused(state: AgentState, event: AgentEvent) -> None:
    with pytest.raises(IllegalTransition, match=f"{event.name} in state {state.name}"):
        advance(state, event)


@pytest.mark.parametrize(
    "state", [AgentState.SPAWNED, AgentState.READY, AgentState.RUNNING, AgentState.FREEING]
)
def test_an_agent_with_a_process_can_die_and_can_be_stopped(state: AgentState) -> None:
    assert advance(state, AgentEvent.DEATH) is AgentState.FREE
    assert advance(state, AgentEvent.STOP) is AgentState.FREEING


def test_every_state_can_be_reached_and_left() -> None:
    assert set(TRANSITIONS.values()) == set(AgentState)
    assert {state for state, _ in TRANSITIONS} == set(AgentState)
    assert {event for _, event in TRANSITIONS} == set(AgentEvent)


def test_the_documentation_shows_the_table() -> None:
    page = Path(__file__).parents[3] / "docs" / "lifecycle.md"
    assert page.read_text() == as_markdown(), "run: python -m workers.lifecycle > docs/lifecycle.md"
