"""The Procfile as commands, and the delays between starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_bridge.errors import SettingsError
from scheduler_bridge.procfile import LONGEST_DELAY_SECONDS, Backoff, Part, find_procfile, read_procfile


@pytest.fixture
def procfile(tmp_path: Path) -> Path:
    return tmp_path / "Procfile"


def test_lines_become_commands_in_the_files_order(procfile: Path) -> None:
    procfile.write_text(
        "web: exec celery -A tasks monitor\n# a comment\nworker: env A=1 celery -n 'w 1@%h' # b\n"
    )
    assert read_procfile(procfile) == [
        Part("web", ("celery", "-A", "tasks", "monitor")),
        Part("worker", ("env", "A=1", "celery", "-n", "w 1@%h", "#", "b")),
    ]


def test_lines_that_run_once_a_deploy_are_left_out(procfile: Path) -> None:
    procfile.write_text(
        "release: scheduler-bridge migrate\npostdeploy: scheduler-bridge migrate\nweb: exec true\n"
    )
    assert [part.name for part in read_procfile(procfile)] == ["web"]


@pytest.mark.parametrize(
    "line", ["a | b", "a && b", "a > b", "a; b", "celery -c $SLOTS", "a `b`", "celery (a)"]
)
def test_a_line_that_needs_a_shell_is_refused_by_name(procfile: Path, line: str) -> None:
    procfile.write_text(f"worker: {line}\n")
    with pytest.raises(SettingsError, match="line worker needs a shell"):
        read_procfile(procfile)


def test_a_line_that_cannot_be_read_is_refused_by_name(procfile: Path) -> None:
    procfile.write_text("worker: celery 'unfinished\n")
    with pytest.raises(SettingsError, match="line worker cannot be read: No closing quotation"):
        read_procfile(procfile)


def test_a_line_without_a_command_is_refused_by_name(procfile: Path) -> None:
    procfile.write_text("worker: exec\n")
    with pytest.raises(SettingsError, match="line worker has no command"):
        read_procfile(procfile)


def test_our_own_procfile_has_the_fixed_parts_and_no_shell_logic() -> None:
    parts = read_procfile(find_procfile())
    assert [part.name for part in parts] == ["web", "bridge", "worker", "housekeeping", "beat"]


def test_delays_double_up_to_the_longest() -> None:
    backoff, delays = Backoff(), []
    for _ in range(7):
        backoff = backoff.after(0.1)
        delays.append(backoff.delay_seconds)
    assert delays == [1, 2, 4, 8, 16, 30, 30]


def test_a_long_life_makes_the_next_delay_the_first_one_again() -> None:
    backoff = Backoff(ends=6).after(59)
    assert backoff.delay_seconds == LONGEST_DELAY_SECONDS
    assert backoff.after(60).delay_seconds == 1


@given(st.lists(st.floats(min_value=0, max_value=1e9), min_size=1))
def test_a_delay_is_never_shorter_than_the_first_nor_longer_than_the_longest(lives: list[float]) -> None:
    backoff = Backoff()
    for lived_seconds in lives:
        backoff = backoff.after(lived_seconds)
        assert 1 <= backoff.delay_seconds <= LONGEST_DELAY_SECONDS
