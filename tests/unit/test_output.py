"""Lines of supervised processes on one stream or in files."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from scheduler_bridge.output import Console, LogFolder, Output
from scheduler_bridge.servers import ServerError


class Terminal(io.StringIO):
    """Says that it is one."""

    def isatty(self) -> bool:
        return True


class GoneReader(io.StringIO):
    """A pipe that nobody reads any more."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def write_through(output: Output, name: str, text: bytes) -> None:
    """Let a process write, as the supervisor does."""
    target = output.target(name)
    program = f"import os; os.write(1, {text!r})"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=target)
    output.follow(name, process.stdout)
    if not isinstance(target, int):
        target.close()
    process.wait()
    output.finish()


def test_each_line_carries_its_parts_name() -> None:
    stream = io.StringIO()
    write_through(Console(stream), "worker", b"ready\nreally")
    lines = stream.getvalue().splitlines()
    assert [line[9:] for line in lines] == ["worker           | ready", "worker           | really"]


def test_bytes_that_are_not_utf8_are_replaced() -> None:
    stream = io.StringIO()
    write_through(Console(stream), "worker", b"caf\xe9\n")
    assert stream.getvalue().endswith("| caf�\n")


def test_parts_have_different_colours_on_a_terminal_and_none_elsewhere() -> None:
    terminal, plain = Terminal(), io.StringIO()
    for console in (Console(terminal), Console(plain)):
        for name in ("worker", "web"):
            write_through(console, name, b"x\n")
    first, second = terminal.getvalue().splitlines()
    assert first.split("m")[1] != second.split("m")[1]
    assert "\033" not in plain.getvalue()


def test_a_reader_that_goes_away_stops_nothing() -> None:
    console = Console(GoneReader())
    console.say("first")
    console.say("second")
    write_through(console, "worker", b"x\n" * 3)


def test_a_log_folder_has_a_file_for_each_part_of_this_run_only(tmp_path: Path) -> None:
    (tmp_path / "old.log").write_text("of the run before")
    output = LogFolder(tmp_path)
    write_through(output, "worker", b"first\n")
    write_through(output, "worker", b"second\n")
    output.say("worker ended")
    assert sorted(file.name for file in tmp_path.glob("*.log")) == ["supervisor.log", "worker.log"]
    assert (tmp_path / "worker.log").read_bytes() == b"first\nsecond\n"
    assert (tmp_path / "supervisor.log").read_text().endswith(" worker ended\n")


def test_the_logs_of_a_run_in_progress_are_not_touched(tmp_path: Path) -> None:
    running = LogFolder(tmp_path)
    running.say("at work")
    with pytest.raises(ServerError, match="is in use by another run: end that one"):
        LogFolder(tmp_path)
    assert (tmp_path / "supervisor.log").read_text().endswith(" at work\n")
    running.finish()
    LogFolder(tmp_path).finish()
    assert list(tmp_path.glob("*.log")) == []


def test_what_is_logged_is_for_its_owner_alone(tmp_path: Path) -> None:
    output = LogFolder(tmp_path / "state" / "logs")
    write_through(output, "worker", b"secret\n")
    made = [tmp_path / "state", tmp_path / "state" / "logs", tmp_path / "state" / "logs" / "worker.log"]
    assert [path.stat().st_mode & 0o777 for path in made] == [0o700, 0o700, 0o600]
