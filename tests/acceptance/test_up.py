"""The Procfile as a user runs it: `scheduler-bridge up` in a terminal, one stream from row to row, Ctrl-C."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.fleet import NAPPER, QUICK, configuration
from tests.process_nodes import PROJECT

PATIENCE_SECONDS = 60.0
COMMAND = str(Path(sys.executable).with_name("scheduler-bridge"))
STREAM = """
name: acceptance
jobs:
  - agent: quick
    args: the input
  - {agent: nap, name: left, args: "0.2", needs: quick}
  - {agent: nap, name: right, args: "0.2", needs: quick}
  - {agent: quick, name: join, needs: [left, right]}
"""


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(PROJECT)
            os.execvpe(command[0], command, environment)
        self.text = ""

    def read_until(self, wanted: str) -> str:
        """Everything printed so far, once `wanted` is in it."""
        end = time.monotonic() + PATIENCE_SECONDS
        while wanted not in self.text:
            assert time.monotonic() < end, f"{wanted!r} did not come:\n{self.text[-4000:]}"
            assert self._read(), f"ended without {wanted!r}:\n{self.text[-4000:]}"
        return self.text

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self._fd, keys)

    def wait(self) -> int:
        """Exit status, reading to the end."""
        while self._read():
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self) -> bool:
        ready, _, _ = select.select([self._fd], [], [], PATIENCE_SECONDS)
        try:
            data = os.read(self._fd, 65536) if ready else b""
        except OSError:  # the other side of a terminal that closes
            return False
        self.text += data.decode("utf-8", "replace")
        return bool(data)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    folder = configuration(tmp_path / "conf", {"quick": QUICK, "nap": NAPPER})
    names = ("DATABASE_URL", "REDIS_URL", "PORT", "SCHEDULER_BRIDGE_", "FLOWER_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    return inherited | {
        "SCHEDULER_BRIDGE_STATE": str(tmp_path / "state"),
        "SCHEDULER_BRIDGE_CONFIG": str(folder),
        "FLOWER_UNAUTHENTICATED_API": "1",
        "TERM": "xterm",
    }


@pytest.fixture
def terminal(environment: dict[str, str]) -> Iterator[Terminal]:
    opened = Terminal([COMMAND, "up"], environment)
    yield opened
    if psutil.pid_exists(opened.pid):
        os.kill(opened.pid, signal.SIGKILL)
        opened.wait()


def call(environment: dict[str, str], *arguments: str, stdin: str | None = None) -> str:
    """What a command of the project prints; it must succeed."""
    done = subprocess.run(
        [COMMAND, *arguments],
        env=environment,
        cwd=PROJECT,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def flower(address: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{address}/api/tasks", timeout=10) as answer:
        tasks: dict[str, Any] = json.load(answer)
    return tasks


def wait_until_flower_sees(address: str, wanted: set[str]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    names: set[str] = set()
    while not wanted <= names:
        assert time.monotonic() < deadline, names
        with suppress(urllib.error.URLError):
            names = {task["name"] for task in flower(address).values()}


def test_a_stream_runs_from_row_to_row_and_ctrl_c_leaves_nothing_behind(
    terminal: Terminal, environment: dict[str, str]
) -> None:
    address = terminal.read_until("Flower is at http://").split("Flower is at ")[1].split()[0]
    terminal.read_until("bridge ready.")
    wait_until_flower_sees(address, {"sweep"})  # it shows no task that ran before it had connected
    call(environment, "submit", "-", stdin=STREAM)
    call(environment, "status", "1", "--watch")
    jobs = json.loads(call(environment, "status", "1", "--json"))["jobs"]
    assert [job["state"] for job in jobs] == ["completed"] * 4
    assert "works on the input" in call(environment, "logs", "1")
    assert "completed" in call(environment, "why", "4")

    wait_until_flower_sees(address, {"quick", "nap"})
    assert any("job 1, stream 1" in task["args"] for task in flower(address).values())

    everything = psutil.Process(terminal.pid).children(recursive=True)
    bridge = next(p for p in everything if p.cmdline()[-1:] == ["bridge"])
    bridge.kill()
    terminal.read_until("starts again in")
    terminal.press(b"\x03")
    assert terminal.wait() == 0
    _, alive = psutil.wait_procs(everything, timeout=5)
    assert not alive
