"""The main log's lines."""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime

import pytest

from scheduler_bridge.daemon.log_format import LogFormat, log_line, shown, word_of

AT = datetime(2026, 11, 21, 7, 52, 34, tzinfo=UTC)


def record(level: int, message: str, **facts: object) -> logging.LogRecord:
    return logging.LogRecord("any", level, "/a/folder/host.py", 132, message, (), None, **facts)  # type: ignore[arg-type]


def test_a_line_is_as_fossology_writes_it() -> None:
    assert log_line(AT, 77, "begins") == "2026-11-21 07:52:34 scheduler [77] :: NOTE: begins"


@pytest.mark.parametrize(
    ("level", "words"),
    [
        (logging.DEBUG, "NOTE: "),
        (logging.INFO, "NOTE: "),
        (logging.WARNING, "WARNING host.py.132: "),
        (logging.ERROR, "ERROR host.py.132: "),
        (logging.CRITICAL, "FATAL host.py.132: "),
    ],
)
def test_the_severity_and_the_place_stand_before_the_text(level: int, words: str) -> None:
    line = LogFormat("worker").format(record(level, "it happened"))
    assert line.partition(" scheduler ")[2] == f"[{os.getpid()}] :: {words}worker: it happened"


def test_each_line_of_a_traceback_has_the_form_and_the_severity() -> None:
    try:
        raise ValueError("bad\nworse")
    except ValueError:
        failed = record(logging.ERROR, "it failed")
        failed.exc_info = sys.exc_info()
    lines = LogFormat("bridge").format(failed).encode().splitlines()
    assert len(lines) >= 5
    assert {word_of(line) for line in lines} == {"ERROR"}


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (log_line(AT, 1, "NOTE: ERROR"), "NOTE"),
        (log_line(AT, 1, "x", "WARNING a.py.1:"), "WARNING"),
        ("Traceback (most recent call last):", None),
        (" " + log_line(AT, 1, "x"), None),
        ("", None),
    ],
)
def test_the_word_of_a_line_is_known_by_its_form(line: str, word: str | None) -> None:
    assert word_of(line.encode()) == word


@pytest.mark.parametrize(
    ("verbosity", "words"),
    [
        (0, {"ERROR", "FATAL"}),
        (1, {"NOTE", "ERROR", "FATAL"}),
        (3, {"NOTE", "WARNING", "ERROR", "FATAL"}),
        (952, {"NOTE", "WARNING", "ERROR", "FATAL"}),
    ],
)
def test_the_verbosity_hides_notes_and_warnings_but_no_error(verbosity: int, words: set[str]) -> None:
    assert {word for word in ("NOTE", "WARNING", "ERROR", "FATAL") if shown(word, verbosity)} == words
