"""`run`: from nothing to a report on servers of its own, and what it says when that does not work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from scheduler_bridge.demo import FIRST, LAST, SCANNERS
from tests.integration.fleet import FAILS, NAPPER, configuration
from tests.process_nodes import PROJECT

AGENTS = (FIRST, *SCANNERS, LAST)
LICENSED = "# SPDX-License-Identifier: MIT\n# Copyright (c) 2020 Example Author\n"


@pytest.fixture
def alone(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """An environment that names no server, no configuration, and a state folder that is not there yet."""
    ours = ("DATABASE_URL", "REDIS_URL", "SCHEDULER_BRIDGE_CONFIG")
    kept = {name: value for name, value in environment.items() if name not in ours}
    return {**kept, "SCHEDULER_BRIDGE_STATE": str(tmp_path / "the state")}


def start(environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """`scheduler-bridge ARGUMENTS`."""
    return subprocess.Popen(
        [sys.executable, "-m", "scheduler_bridge", *arguments],
        env=environment,
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def left_behind(state: str) -> list[str]:
    """Command lines of processes that still work in the state folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        words = process.info["cmdline"] or []
        variables = process.info["environ"] or {}
        if process.pid != os.getpid() and (
            any(state in word for word in words) or variables.get("SCHEDULER_BRIDGE_STATE") == state
        ):
            found.append(" ".join(words))
    return found


def test_run_prints_the_report_and_leaves_nothing_running(alone: dict[str, str], tmp_path: Path) -> None:
    source = tmp_path / "source with blank"
    source.mkdir()
    (source / "a.py").write_text(LICENSED)
    report, said = start(alone, "run", str(source)).communicate(timeout=100)
    assert report.startswith("# "), said
    assert "MIT" in report and "Example Author" in report and str(source) in report
    assert said.splitlines()[0] == f"starting, with logs in {alone['SCHEDULER_BRIDGE_STATE']}/logs"
    assert said.splitlines()[-1] == "stopping"
    assert left_behind(alone["SCHEDULER_BRIDGE_STATE"]) == []


def test_run_tells_which_job_failed_and_where_the_logs_are(alone: dict[str, str], tmp_path: Path) -> None:
    folder = configuration(tmp_path / "conf", dict.fromkeys(AGENTS, FAILS))
    process = start(alone, "--config", str(folder), "run", str(tmp_path))
    report, said = process.communicate(timeout=100)
    assert (process.returncode, report) == (1, ""), said
    assert "job 1 (unpack) failed: " in said
    assert "FATAL fails: cannot read" in said
    assert said.splitlines()[-1].endswith(f"the logs are in {alone['SCHEDULER_BRIDGE_STATE']}/logs")


def test_ctrl_c_stops_everything_and_keeps_the_stream(alone: dict[str, str], tmp_path: Path) -> None:
    folder = configuration(
        tmp_path / "conf", dict.fromkeys(AGENTS, NAPPER.replace("float(word or 0)", "600"))
    )
    process = start(alone, "--config", str(folder), "run", str(tmp_path))
    assert process.stderr is not None
    while "attempt 1" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    report, said = process.communicate(timeout=60)
    assert (process.returncode, report) == (130, "")
    assert "interrupted; stream 1 goes on when its database is used again" in said
    assert left_behind(alone["SCHEDULER_BRIDGE_STATE"]) == []
