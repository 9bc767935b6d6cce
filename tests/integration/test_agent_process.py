"""Starting programs that can be started and programs that cannot, and ending whatever they have become."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.toy import AGENTS, assert_gone, open_descriptors, play
from workers.process import AgentProcess, ExitStatus, SpawnError, spawn

GRACE = 5.0


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    """Every test leaves the descriptors as they were."""
    before = open_descriptors()
    yield
    assert open_descriptors() <= before


def a_program(folder: Path, text: str, mode: int = 0o755) -> str:
    """A file that may be a program."""
    path = folder / "agent"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def start(name: str, *, nice: int = 0) -> AgentProcess:
    return spawn([str(AGENTS / name)], str(AGENTS), nice=nice)


class TestSurroundings:
    def test_an_agent_runs_in_its_folder_with_our_environment_and_leads_its_group(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TOY", "inherited")
        played = play("tells_surroundings")
        told = dict(line.split(" ", 1) for line in played.text.splitlines())
        assert told["folder"] == str(AGENTS)
        assert told["toy"] == "inherited"
        assert told["group"] == f"{played.pid} {played.pid}"

    def test_standard_error_comes_with_the_output(self) -> None:
        assert play("tells_surroundings").text.endswith("to standard error\n")

    def test_environment_and_words_are_what_was_asked_for(self) -> None:
        process = spawn(
            [str(AGENTS / "tells_surroundings"), "--z='u v'", ""], str(AGENTS), environment={"TOY": "given"}
        )
        os.write(process.stdin, b"42\n")
        text = read_all(process)
        assert process.end(GRACE)
        assert "toy given\n" in text
        assert "word --z='u v'\nword \n" in text

    def test_a_nice_value_is_set(self) -> None:
        process = start("never_ready", nice=7)
        try:
            assert os.getpriority(os.PRIO_PROCESS, process.pid) == 7
        finally:
            assert process.end(GRACE)

    def test_a_refused_nice_value_is_not_fatal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(which: int, who: int, priority: int) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "setpriority", refuse)
        process = start("never_ready", nice=-5)
        assert process.exit_status() is None
        assert process.end(GRACE)

    def test_a_relative_program_is_found_from_our_folder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(AGENTS.parent)
        process = spawn(["agents/never_reads"], "agents")
        assert process.wait_exit(GRACE)
        assert process.end(GRACE)
        assert process.exit_status() == ExitStatus(0, False)

    def test_agents_do_not_inherit_each_others_pipes(self) -> None:
        first, second = start("never_ready"), start("never_ready")
        try:
            ends = {Path(f"/proc/self/fd/{fd}").readlink() for fd in (first.stdin, first.stdout)}
            theirs = {entry.readlink() for entry in Path(f"/proc/{second.pid}/fd").iterdir()}
            assert not ends & theirs
        finally:
            assert first.end(GRACE) and second.end(GRACE)


class TestProgramsThatCannotBeStarted:
    def test_a_missing_program(self, tmp_path: Path) -> None:
        assert why(str(tmp_path / "none"), tmp_path) == "No such file or directory"

    def test_a_missing_folder(self, tmp_path: Path) -> None:
        program = a_program(tmp_path, "#!/bin/sh\n")
        assert why(program, tmp_path / "none") == f"no folder {tmp_path / 'none'}"

    def test_a_program_that_is_not_executable(self, tmp_path: Path) -> None:
        program = a_program(tmp_path, "#!/bin/sh\n", mode=0o644)
        assert why(program, tmp_path) == "Permission denied"

    def test_a_script_whose_interpreter_is_missing(self, tmp_path: Path) -> None:
        program = a_program(tmp_path, "#!/no/such/interpreter\n")
        assert why(program, tmp_path) == "the interpreter in its first line does not exist"

    def test_a_file_that_is_no_program(self, tmp_path: Path) -> None:
        program = a_program(tmp_path, "just text\n")
        assert why(program, tmp_path) == "neither a binary for this machine nor a script with #!"

    def test_a_command_line_that_is_too_long(self, tmp_path: Path) -> None:
        program = a_program(tmp_path, "#!/bin/sh\n")
        assert why(program, tmp_path, "x" * 1_000_000) == "its command line is too long"

    def test_a_word_with_a_nul(self, tmp_path: Path) -> None:
        program = a_program(tmp_path, "#!/bin/sh\n")
        assert why(program, tmp_path, "a\0b") == "embedded null byte"

    def test_no_descriptors_left(self, tmp_path: Path) -> None:
        program = a_program(tmp_path, "#!/bin/sh\n")
        with no_descriptors_left():
            assert why(program, tmp_path) == "Too many open files"


class TestTheStopLadder:
    def test_an_agent_that_ends_with_its_input_is_not_killed(self) -> None:
        process = start("good_legacy")
        assert process.end(GRACE, leaving=True)
        assert process.exit_status() == ExitStatus(0, False)

    def test_an_agent_that_would_go_on_gets_a_hangup(self) -> None:
        process = start("slow")
        read_until_ready(process)
        os.write(process.stdin, b"1000\n")
        assert process.end(GRACE)
        assert process.exit_status() == ExitStatus(signal.SIGHUP, True)

    def test_an_agent_that_ignores_it_is_killed_after_the_grace(self) -> None:
        process = start("ignores_signals")
        read_until_ready(process)
        began = time.monotonic()
        assert process.end(0.2)
        assert time.monotonic() - began >= 0.2
        assert process.exit_status() == ExitStatus(signal.SIGKILL, True)
        assert_gone(process.pid)

    def test_an_agent_that_prints_without_end_is_ended(self) -> None:
        process = start("floods")
        read_until_ready(process)
        os.write(process.stdin, b"y\n")
        assert process.end(GRACE)
        assert_gone(process.pid)

    def test_what_an_ended_agent_has_left_behind_is_killed(self) -> None:
        process = start("forks")
        os.write(process.stdin, b"die\n")
        assert process.wait_exit(GRACE)
        assert process.end(GRACE)
        assert_gone(process.pid)

    def test_the_group_is_not_signalled_once_its_number_may_belong_to_others(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        process = start("never_reads")
        assert process.end(GRACE)
        signalled: list[int] = []
        monkeypatch.setattr(os, "killpg", lambda group, number: signalled.append(group))
        process.signal_group(signal.SIGKILL)
        process.hang_up()
        assert process.end(GRACE)
        assert signalled == []

    def test_a_child_that_somebody_else_has_reaped_is_not_signalled_either(self) -> None:
        process = start("never_reads")
        os.waitpid(process.pid, 0)
        assert process.exit_status() == ExitStatus(255, False)
        assert process.end(GRACE)


@contextlib.contextmanager
def no_descriptors_left() -> Iterator[None]:
    """Everything this process may open is open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in taken:
            os.close(fd)


def why(program: str, folder: Path, *words: str) -> str:
    """The reason, without what all of them begin with."""
    with pytest.raises(SpawnError) as caught:
        spawn([program, *words], str(folder))
    return str(caught.value).removeprefix(f"{program} cannot be started: ")


def read_until_ready(process: AgentProcess) -> None:
    os.set_blocking(process.stdout, True)
    text = b""
    while not text.endswith(b"OK\n"):
        text += os.read(process.stdout, 100)
    os.set_blocking(process.stdout, False)


def read_all(process: AgentProcess) -> str:
    os.set_blocking(process.stdout, True)
    text = b""
    while data := os.read(process.stdout, 1000):
        text += data
    return text.decode()
