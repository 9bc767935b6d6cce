"""The mark in an agent's environment: read back exactly, and nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_bridge.model.mark import (
    VARIABLE,
    Life,
    Mark,
    life_in_name,
    named_with_life,
    read_mark,
    read_stat,
)

HEX = "0123456789abcdef"
LIFE = Life(4026531836, 4711, 98765)
MARK = Mark("0123456789abcdef", LIFE, "worker@scan-3.4711")
lives = st.builds(
    Life,
    namespace=st.integers(1, 2**40),
    pid=st.integers(1, 4_194_304),
    started=st.integers(0, 2**50),
)
marks = st.builds(
    Mark,
    installation=st.text(HEX, min_size=16, max_size=16),
    worker=lives,
    owner=st.from_regex(r"[a-z]+@[A-Za-z0-9_.-]{1,255}\.[0-9]+", fullmatch=True),
)


def environ(*variables: str) -> bytes:
    """As /proc/PID/environ has it."""
    return b"".join(variable.encode() + b"\0" for variable in variables)


@given(marks)
def test_a_mark_is_read_as_it_was_written_wherever_it_stands(mark: Mark) -> None:
    variable = f"{VARIABLE}={mark}"
    for variables in ((variable,), ("A=1", variable), (variable, "Z=1"), ("A=1", variable, "Z=1")):
        assert read_mark(environ(*variables)) == mark


def test_a_mark_looks_like_this() -> None:
    assert str(MARK) == "0123456789abcdef/4026531836/4711/98765/worker@scan-3.4711"


@given(st.binary())
def test_any_bytes_can_be_in_an_environment(content: bytes) -> None:
    assert read_mark(content) is None
    assert read_mark(f"{VARIABLE}=".encode() + content) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "worker@scan-3.4711",
        str(MARK)[1:],  # a shorter installation
        str(MARK).upper(),
        str(MARK).replace("/4711/", "/0/"),  # a signal to it would go to our own group
        str(MARK).replace("/4711/", "/-1/"),  # and this one's to everybody
        str(MARK).replace("/4711/", "/99999999999/"),  # larger than any number of a process
        str(MARK).replace("/4711/", "/4_711/"),
        str(MARK).replace("/98765/", "/x/"),
        str(MARK).replace("/98765/", "/"),
        str(MARK).replace("@", "\n"),
        str(MARK) + "x" * 300,
        str(MARK) + "\udcff".encode("utf-8", "surrogateescape").decode("latin-1"),
    ],
)
def test_a_garbled_mark_is_none(text: str) -> None:
    assert read_mark(environ("A=1", f"{VARIABLE}={text}", "Z=1")) is None


def test_a_variable_with_a_longer_name_is_no_mark() -> None:
    assert read_mark(environ(f"NO_{VARIABLE}={MARK}")) is None
    assert read_mark(environ(f"{VARIABLE}_NOT={MARK}")) is None
    assert read_mark(environ(f"A={VARIABLE}={MARK}")) is None


def test_a_process_is_read_whatever_its_name_is() -> None:
    rest = " ".join(str(number) for number in range(5, 53))
    for name in ("sleep", "two words", "a) Z 1 (b", ""):
        stat = read_stat(f"4711 ({name}) S 17 {rest}\n".encode())
        assert stat is not None
        assert (stat.state, stat.parent, stat.started, stat.dead) == ("S", 17, 22, False)


def test_a_process_that_nobody_has_reaped_is_dead() -> None:
    stat = read_stat(b"4711 (sleep) Z 17 " + b"0 " * 48)
    assert stat is not None and stat.dead


@pytest.mark.parametrize("content", [b"", b"4711 (sleep) S 17", b"4711 (sleep)", b"\xff"])
def test_half_a_line_is_no_process(content: bytes) -> None:
    assert read_stat(content) is None


def test_the_line_of_this_very_process_can_be_read() -> None:
    stat = read_stat(Path("/proc/self/stat").read_bytes())
    assert stat is not None and stat.state == "R" and stat.started > 0


@given(lives)
def test_a_name_tells_the_life_it_was_made_of(life: Life) -> None:
    assert life_in_name(named_with_life("worker@scan-3.example.org", life)) == life


@pytest.mark.parametrize(
    "name", ["", "worker@h1", "worker@h1.4711", "worker@h1.0-1-1", "worker@h1.4711-x-1", "4711-1-1"]
)
def test_other_names_tell_no_life(name: str) -> None:
    assert life_in_name(name) is None
