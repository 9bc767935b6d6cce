"""The supervisor with real processes: restarts, the order of the end, and nothing left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.process_nodes import PROJECT

Start = Callable[..., "Running"]

SERVE = """
import os, signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # before anybody can know this process
print("pid", os.getpid(), flush=True)
signal.sigwait({signal.SIGTERM})
print("stopping", time.monotonic(), flush=True)
"""
STUBBORN = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("pid", os.getpid(), flush=True)
while True:
    signal.pause()
"""
PARENT = """
import os, signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print("pid", child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


class Running:
    """A started supervisor and what it has printed so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []

    def wait_for(self, text: str, times: int = 1) -> str:
        """The line with `text`, when it has come `times` times."""
        assert self.process.stdout is not None
        while len(found := [line for line in self.lines if text in line]) < times:
            line = self.process.stdout.readline()
            assert line, f"ended without {text!r}:\n{''.join(self.lines)}"
            self.lines.append(line)
        return found[-1]

    def pid_of(self, name: str) -> int:
        """The pid that the part `name` has printed."""
        return int(self.wait_for(f"{name} ".ljust(17) + "| pid").split()[-1])

    def end(self) -> tuple[int, list[str]]:
        """Exit status and the lines since the last `wait_for`."""
        rest, _ = self.process.communicate(timeout=30)
        return self.process.returncode, rest.splitlines()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a supervisor: `start(grace_seconds, worker=SCRIPT, ...)`."""
    started: list[subprocess.Popen[str]] = []
    folder = tmp_path / "a folder with spaces"
    folder.mkdir()

    def run(grace_seconds: float = 30, **scripts: str) -> Running:
        for name, script in scripts.items():
            (folder / f"{name}.py").write_text(script)
        lines = [f"{name}: exec '{sys.executable}' '{folder}/{name}.py'" for name in scripts]
        (folder / "Procfile").write_text("release: exec false\n" + "\n".join(lines) + "\n")
        command = [sys.executable, "-m", "tests.integration.supervise", str(folder / "Procfile")]
        process = subprocess.Popen(
            [*command, str(grace_seconds)],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return Running(process)

    yield run
    for process in started:
        process.kill()
        process.communicate()


def gone(*pids: int) -> bool:
    """Whether all of them end within some seconds."""
    processes = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            processes.append(psutil.Process(pid))
    return not psutil.wait_procs(processes, timeout=10)[1]


def stopping_order(lines: list[str]) -> list[str]:
    """By their own clocks: each part's lines are read in a thread of its own."""
    stopping = [line.split() for line in lines if "| stopping " in line]
    return [words[1] for words in sorted(stopping, key=lambda words: float(words[-1]))]


def test_a_part_that_ends_is_started_again_after_a_growing_delay(start: Start) -> None:
    supervisor = start(worker="raise SystemExit(3)")
    supervisor.wait_for("worker ended with status 3, starts again in 1 s")
    began = time.monotonic()
    supervisor.wait_for("worker ended with status 3, starts again in 2 s")
    assert time.monotonic() - began > 0.9


def test_a_part_that_was_killed_is_said_to_be_and_starts_again(start: Start) -> None:
    supervisor = start(worker=SERVE, web=SERVE)
    first = supervisor.pid_of("worker")
    psutil.Process(first).kill()
    supervisor.wait_for("worker was ended by SIGKILL, starts again in 1 s")
    supervisor.wait_for("worker".ljust(17) + "| pid", times=2)
    assert supervisor.pid_of("worker") != first


def test_ctrl_c_stops_who_makes_work_then_who_does_it_then_the_page(start: Start) -> None:
    names = ("web", "worker", "bridge", "housekeeping", "beat")
    supervisor = start(**dict.fromkeys(names, SERVE))
    pids = [supervisor.pid_of(name) for name in names]
    supervisor.process.send_signal(signal.SIGINT)
    status, lines = supervisor.end()
    order = stopping_order(lines)
    assert status == 0
    assert (set(order[:2]), set(order[2:4]), order[4:]) == (
        {"bridge", "beat"},
        {"worker", "housekeeping"},
        ["web"],
    )
    assert gone(*pids)


def test_a_part_that_ignores_its_end_is_killed_when_the_grace_is_over(start: Start) -> None:
    supervisor = start(0.3, worker=STUBBORN, web=SERVE)
    pids = [supervisor.pid_of("worker"), supervisor.pid_of("web")]
    supervisor.process.send_signal(signal.SIGTERM)
    status, lines = supervisor.end()
    assert status == 0
    assert any("worker did not stop in time: killed" in line for line in lines)
    assert stopping_order(lines) == ["web"]
    assert gone(*pids)


def test_a_second_ctrl_c_shortens_the_grace(start: Start) -> None:
    supervisor = start(600, bridge=SERVE, worker=STUBBORN)
    worker = supervisor.pid_of("worker")
    supervisor.pid_of("bridge")
    supervisor.process.send_signal(signal.SIGINT)
    supervisor.wait_for("bridge ended with status 0")
    supervisor.process.send_signal(signal.SIGINT)
    status, _ = supervisor.end()
    assert status == 0
    assert gone(worker)


def test_a_killed_supervisor_leaves_no_part_behind(start: Start) -> None:
    supervisor = start(worker=SERVE, web=SERVE, beat=SERVE)
    pids = [supervisor.pid_of(name) for name in ("worker", "web", "beat")]
    supervisor.process.kill()
    supervisor.process.wait()
    assert gone(*pids)


def test_what_a_part_leaves_in_its_group_ends_with_it(start: Start) -> None:
    supervisor = start(worker=PARENT)
    child = supervisor.pid_of("worker")
    supervisor.wait_for("worker was ended by SIGKILL")
    assert gone(child)


def test_a_program_that_does_not_exist_is_named(start: Start, tmp_path: Path) -> None:
    procfile = tmp_path / "Procfile"
    procfile.write_text("worker: exec no-such-program --at-all\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.supervise", str(procfile), "1"],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    supervisor = Running(process)
    assert "no-such-program: " in supervisor.wait_for("No such file or directory")
    supervisor.wait_for("starts again in 1 s")
    process.send_signal(signal.SIGINT)
    assert supervisor.end()[0] == 0
