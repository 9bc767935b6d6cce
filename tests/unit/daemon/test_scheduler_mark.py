"""The mark that tells one installation's scheduler from all other processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_bridge.daemon.mark import VARIABLE, SchedulerMark, installation_of, read_scheduler_mark
from scheduler_bridge.model.mark import Life

MARK = SchedulerMark("0123456789abcdef", Life(4026531836, 77, 123456))
numbers = st.integers(1, 999_999)


@given(
    st.builds(
        SchedulerMark,
        st.from_regex(r"[0-9a-f]{16}", fullmatch=True),
        st.builds(Life, numbers, numbers, numbers),
    )
)
def test_a_mark_is_read_as_it_was_written(mark: SchedulerMark) -> None:
    environ = f"A=1\0{VARIABLE}={mark}\0B=2\0".encode()
    assert read_scheduler_mark(environ) == mark


@given(st.binary())
def test_anything_else_is_no_mark(environ: bytes) -> None:
    assert read_scheduler_mark(environ) is None
    assert read_scheduler_mark(f"{VARIABLE}=".encode() + environ) is None


@pytest.mark.parametrize("before", ["X", "X=", "A=1\0X"])
def test_a_mark_within_another_variable_is_none(before: str) -> None:
    assert read_scheduler_mark(f"{before}{VARIABLE}={MARK}\0".encode()) is None


def test_a_folder_is_the_same_by_every_way_to_it(tmp_path: Path) -> None:
    folder, other = tmp_path / "conf", tmp_path / "other"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    assert (
        installation_of(tmp_path / "link")
        == installation_of(folder)
        == installation_of(folder / ".." / "conf")
    )
    assert installation_of(other) != installation_of(folder)
