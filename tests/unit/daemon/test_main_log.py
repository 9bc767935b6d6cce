"""The log of the scheduler and its parts."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from scheduler_bridge.daemon.main_log import MainLog, log_path
from scheduler_bridge.errors import BridgeError

Open = Callable[[Path, int], MainLog]


@pytest.fixture
def opened() -> Iterator[Open]:
    """A log that is closed in the end: `opened(path, verbosity)`."""
    with ExitStack() as stack:
        yield lambda path, verbosity: stack.enter_context(closing(MainLog(str(path), verbosity)))


def texts(log: Path) -> list[str]:
    return [line.partition(" :: ")[2] for line in log.read_text().splitlines()]


def test_the_log_is_where_the_option_says_then_in_logdir_then_in_the_state_folder(tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert log_path("stdout", tmp_path, state) == log_path("/dev/stdout", tmp_path, state) == "stdout"
    assert log_path(str(tmp_path / "own.log"), Path("/other"), state) == str(tmp_path / "own.log")
    assert log_path(str(tmp_path), None, state) == str(tmp_path / "fossology.log")
    assert log_path(None, tmp_path / "LOGDIR", state) == str(tmp_path / "LOGDIR" / "fossology.log")
    assert log_path(None, None, state) == str(state / "fossology.log")
    assert log_path("relative.log", None, state) == str(Path.cwd() / "relative.log")


def test_lines_of_any_form_get_the_logs_own(opened: Open, tmp_path: Path) -> None:
    log = opened(tmp_path / "log", 3)
    log.target("worker")
    log.follow(
        "worker",
        io.BytesIO(b"a banner \x1b[1m\n\xff\n2026-11-21 07:52:34 scheduler [9] :: ERROR a.py.1: oh\n"),
    )
    log.finish()
    assert texts(tmp_path / "log") == [
        "NOTE: worker: a banner \\x1b[1m",
        "NOTE: worker: \N{REPLACEMENT CHARACTER}",
        "ERROR a.py.1: oh",
    ]
    assert log.last_lines("worker")[-1] == "ERROR a.py.1: oh"


def test_what_the_verbosity_hides_is_remembered_all_the_same(opened: Open, tmp_path: Path) -> None:
    log = opened(tmp_path / "log", 0)
    heard: list[tuple[str, str]] = []
    log.heard = lambda part, line: heard.append((part, line))
    log.target("beat")
    log.follow("beat", io.BytesIO(b"beat: Starting...\n"))
    log.finish()
    log.say("a note")
    log.warn("a warning")
    log.error("an error\nof two lines")
    assert texts(tmp_path / "log") == ["ERROR: an error", "ERROR: of two lines"]
    assert heard == [("beat", "beat: Starting...")]
    assert log.last_lines("beat") == ["beat: Starting..."]


def test_a_log_that_cannot_be_opened_again_goes_on_in_the_old_file(opened: Open, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    log = opened(folder / "log", 3)
    moved = folder.rename(tmp_path / "moved")
    log.reopen()
    log.say("still here")
    written = texts(moved / "log")
    assert written[0].startswith("ERROR: cannot write the log")
    assert written[1] == "NOTE: still here"


def test_a_log_that_cannot_be_written_is_said_by_name(tmp_path: Path) -> None:
    with pytest.raises(BridgeError, match="cannot write the log"):
        MainLog(str(tmp_path / "missing" / "log"), 3)
