"""Agents of a killed worker end before anybody starts their job again, and nobody else's are touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from scheduler_bridge.launch import launcher
from scheduler_bridge.model.mark import VARIABLE, Life, Mark
from scheduler_bridge.orphan_watch import LOOK_SECONDS, OrphanWatch, installation
from scheduler_bridge.orphans import environ_of, has_ended, kill_orphans, life_of, of_dead_workers
from tests.builders import a_job, a_stream, insert
from tests.integration.fleet import announce, configuration, ended, started, until
from tests.process_nodes import PROJECT

Start = Callable[..., Any]
Started = subprocess.Popen[bytes]
Hydra = Callable[[Path], tuple[int, list[int]]]  # the job and the numbers of its processes
Connection = psycopg.Connection[Any]

HERE = "0123456789abcdef"
SLEEP = ("sleep", "1000")
QUICK_LEASES = {"SCHEDULER_BRIDGE_SWEEP_SECONDS": "0.5", "SCHEDULER_BRIDGE_LEASE_SECONDS": "2"}

# Its data names a folder. The first time it writes its processes down there, one in its group, one in a session of its
# own, and stays, deaf to everything. The next time it writes down which of them live, and completes its job.
HYDRA = """#!/usr/bin/env python3
import os, signal, subprocess, sys, time
from pathlib import Path
for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
print("VERSION: 1\\nOK", flush=True)
folder = Path(sys.stdin.readline().strip())
heads = folder / "heads"
if heads.exists():
    def lives(pid):
        try:
            return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False
    (folder / "living").write_text(" ".join(filter(lives, heads.read_text().split())))
    print("HEART: 1 0\\nBYE 0", flush=True)
    sys.exit(0)
near = subprocess.Popen(["sleep", "1000"])
far = subprocess.Popen(["sleep", "1000"], start_new_session=True)
(folder / "new").write_text(f"{os.getpid()} {near.pid} {far.pid}")
(folder / "new").rename(heads)
while True:
    time.sleep(0.1)
"""


@pytest.fixture
def start() -> Iterator[Callable[..., Started]]:
    """Start a program that carries a mark: `start(mark, *command)`; what is left of it ends with the test."""
    started: list[Started] = []

    def run(mark: object, *command: str, **how: Any) -> Started:
        environment = {**os.environ, VARIABLE: str(mark)}
        arguments = {"process_group": 0, "stdout": subprocess.PIPE, **how}
        process = subprocess.Popen(command or SLEEP, env=environment, **arguments)
        started.append(process)
        until(
            lambda: b"" != environ(process.pid) != environ(os.getpid()) or process.poll() is not None,
            "the program's own environment",
        )
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def living() -> Iterator[Life]:
    """A process that lives as long as the test."""
    with subprocess.Popen(SLEEP) as process:
        life = life_of(process.pid)
        assert life is not None
        yield life
        process.kill()


@pytest.fixture
def dead() -> Life:
    """A process that has been."""
    with subprocess.Popen(SLEEP) as process:
        life = life_of(process.pid)
        assert life is not None
        process.kill()
    return life


@pytest.fixture
def config(tmp_path: Path) -> str:
    return str(configuration(tmp_path / "conf", {"hydra": HYDRA}))


def environ(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def mark_of(life: Life) -> Mark:
    return Mark(HERE, life, f"worker@here.{life.pid}")


def runs(pid: int) -> bool:
    """Whether it still does something."""
    life = life_of(pid)
    return life is not None and not has_ended(life)


def killed_of(installation: str = HERE) -> set[int]:
    return {orphan.life.pid for orphan in kill_orphans(of_dead_workers(installation))}


def test_a_look_at_processes_keeps_nothing_of_their_numbers(
    monkeypatch: pytest.MonkeyPatch, living: Life
) -> None:
    """CPython 3.12 never frees a string that was interned, and jobs have new processes for ever."""
    kept: set[str] = set()
    intern = sys.intern

    def counted(text: str) -> str:
        kept.add(text)
        return intern(text)

    monkeypatch.setattr(sys, "intern", counted)
    assert runs(living.pid) and environ_of(living.pid) and killed_of() == set()
    assert str(living.pid) not in kept


class TestWhoseAgentsAreKilled:
    def test_those_of_a_dead_worker_and_all_they_have_started(
        self, start: Callable[..., Started], dead: Life
    ) -> None:
        script = (
            "trap '' HUP TERM INT; sleep 1000 & setsid sleep 1000 & echo $!; while :; do sleep 1000; done"
        )
        agent = start(mark_of(dead), "sh", "-c", script)
        assert agent.stdout is not None
        far = int(agent.stdout.readline())
        until(lambda: b"sleep" in Path(f"/proc/{far}/cmdline").read_bytes(), "the far one")
        assert {agent.pid, far} <= killed_of()
        assert agent.wait() == -signal.SIGKILL
        assert not runs(far)
        assert killed_of() == set()

    def test_one_whose_workers_number_belongs_to_another_process_now(
        self, start: Callable[..., Started], living: Life
    ) -> None:
        agent = start(mark_of(replace(living, started=living.started - 1)))
        assert killed_of() == {agent.pid}

    def test_one_that_forks_without_end(self, start: Callable[..., Started], dead: Life) -> None:
        script = "trap '' HUP TERM; echo; while :; do sleep 0.05 & sleep 0.002; done"
        agent = start(mark_of(dead), "sh", "-c", script)
        assert agent.stdout is not None
        agent.stdout.readline()
        assert agent.pid in killed_of()
        assert killed_of() == set()

    def test_one_that_hides_its_environment_behind_its_group(
        self, start: Callable[..., Started], dead: Life
    ) -> None:
        agent = start(mark_of(dead), "sh", "-c", "env -i sleep 1000 & echo $!; wait")
        assert agent.stdout is not None
        hidden = int(agent.stdout.readline())
        until(lambda: not environ(hidden), "the hidden one")
        assert killed_of() == {agent.pid}
        assert agent.stdout.read() == b""  # nobody holds it open any more
        assert not runs(hidden)

    def test_none_of_a_worker_that_lives(self, start: Callable[..., Started], living: Life) -> None:
        agent = start(mark_of(living))
        assert killed_of() == set()
        assert runs(agent.pid)

    def test_none_of_another_installation(self, start: Callable[..., Started], dead: Life) -> None:
        agent = start(mark_of(dead))
        assert killed_of("f" * 16) == set()
        assert runs(agent.pid)

    def test_none_of_another_pid_namespace_where_that_number_may_live(
        self, start: Callable[..., Started], dead: Life
    ) -> None:
        agent = start(mark_of(replace(dead, namespace=dead.namespace + 1)))
        assert killed_of() == set()
        assert runs(agent.pid)

    def test_none_with_a_garbled_mark(self, start: Callable[..., Started], dead: Life) -> None:
        marks = [str(mark_of(dead))[:-1] + "\x7f", f"{HERE}/1/0/1/x", f"{HERE}/1/-1/1/x", HERE]
        agents = [start(mark) for mark in marks]
        assert killed_of() == set()
        assert all(runs(agent.pid) for agent in agents)

    def test_none_whose_group_an_agent_has_joined(self, start: Callable[..., Started], dead: Life) -> None:
        bystander = subprocess.Popen(SLEEP, process_group=0)
        try:
            agent = start(mark_of(dead), process_group=bystander.pid)
            assert killed_of() == {agent.pid}
            assert bystander.poll() is None
        finally:
            bystander.kill()
            bystander.wait()

    def test_never_the_one_that_asks(self, dead: Life) -> None:
        script = (
            f"from scheduler_bridge.orphans import *\nprint(len(kill_orphans(of_dead_workers({HERE!r}))))"
        )
        environment = {**os.environ, VARIABLE: str(mark_of(dead))}
        command = [sys.executable, "-c", script]
        asked = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, check=True)
        assert asked.stdout == b"0\n"


def test_an_installation_is_its_database_whoever_opens_it() -> None:
    place = "postgresql://alice:secret@db.example:5433/fossology"
    assert installation(place) == installation("postgresql://bob@db.example:5433/fossology?connect_timeout=2")
    assert installation(place) == installation("host=db.example port=5433 dbname=fossology user=fossy")
    others = [place + "2", place.replace("5433", "5434"), place.replace("db.", "db2.")]
    assert len({installation(url) for url in [place, *others]}) == 4


def test_a_worker_looks_at_once_and_again_and_again(
    start: Callable[..., Started],
    dead: Life,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("scheduler_bridge.orphan_watch.LOOK_SECONDS", LOOK_SECONDS / 1000)
    first = start(mark_of(dead))
    watch = OrphanWatch(HERE)
    watch.start()
    try:
        assert not runs(first.pid)
        second = start(mark_of(dead))
        assert second.wait(10) == -signal.SIGKILL
    finally:
        watch.stop()
    records = [record for record in caplog.records if getattr(record, "action", "") == "orphan_killed"]
    assert f"process {first.pid}, an agent's of worker@here.{dead.pid}" in records[0].getMessage()


@pytest.fixture
def a_hydra(connection: Connection) -> Iterator[Hydra]:
    """Submit a job whose agent starts others, wait until it has: `a_hydra(folder)`; none of them survives the test."""
    lives: list[Life | None] = []

    def submit(folder: Path) -> tuple[int, list[int]]:
        folder.mkdir()
        stream = insert(connection, a_stream(a_job("hydra", args=str(folder))))
        announce(connection)
        heads = folder / "heads"
        until(heads.exists, "the agent's processes")
        started(connection, stream["hydra"])
        pids = [int(pid) for pid in heads.read_text().split()]
        lives.extend(life_of(pid) for pid in pids)
        return stream["hydra"], pids

    yield submit
    for life in lives:
        if life is not None and not has_ended(life):
            os.kill(life.pid, signal.SIGKILL)


def kill_alone(worker: Any) -> None:
    """SIGKILL to the worker's process and no other."""
    os.kill(worker.container.pid, signal.SIGKILL)
    worker.container.wait()


def test_a_new_worker_ends_a_killed_ones_agents_before_their_job_starts_again(
    connection: Connection,
    start_process: Start,
    start_worker: Start,
    a_hydra: Hydra,
    config: str,
    tmp_path: Path,
) -> None:
    settings = {"SCHEDULER_BRIDGE_CONFIG": config, **QUICK_LEASES}
    start_process("bridge", ["scheduler-bridge", "bridge"], ready_text="bridge ready", **settings)
    worker = start_worker("w1", slots=2, **settings)
    job, heads = a_hydra(tmp_path / "job")
    kill_alone(worker)
    assert all(runs(pid) for pid in heads)
    again = start_worker("w1", slots=2, **settings)
    assert not any(runs(pid) for pid in heads)
    assert ended(connection, job) == ["Completed"]
    assert (tmp_path / "job" / "living").read_text() == ""
    attempts = "select ending from scheduler_bridge.attempt order by epoch"
    assert connection.execute(attempts).fetchall() == [("lost",), ("completed",)]
    assert again.logs().count(", which has died") == len(heads)


def test_agents_of_a_worker_that_lives_survive_the_start_of_another_one_on_its_machine(
    start_process: Start, start_worker: Start, a_hydra: Hydra, config: str, tmp_path: Path
) -> None:
    settings = {"SCHEDULER_BRIDGE_CONFIG": config, "SCHEDULER_BRIDGE_STOP_GRACE_SECONDS": "0"}
    start_process("bridge", ["scheduler-bridge", "bridge"], ready_text="bridge ready", **settings)
    start_worker("w1", slots=1, **settings)
    _, heads = a_hydra(tmp_path / "job")
    other = start_worker("w2", slots=1, **settings)
    _, others = a_hydra(tmp_path / "other")
    kill_alone(other)
    start_worker("w3", slots=0, **settings)
    assert not any(runs(pid) for pid in others)
    assert all(runs(pid) for pid in heads)


# A worker as `up` sees it: marks its environment, starts an agent which leaves its session, and waits.
MARKS = """
import os, signal, subprocess, sys
from scheduler_bridge.model.mark import VARIABLE, Mark
from scheduler_bridge.orphans import life_of
os.environ[VARIABLE] = str(Mark("0" * 16, life_of(os.getpid()), "worker@here"))
agent = subprocess.Popen(["sh", "-c", "trap '' HUP TERM INT; sleep 1000 & wait"], start_new_session=True)
brief = subprocess.Popen(["cat"], stdin=subprocess.PIPE, start_new_session=True)
print("pids", os.getpid(), agent.pid, brief.pid, flush=True)
signal.pause()
"""


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A supervisor with MARKS as its only part."""
    (tmp_path / "marks.py").write_text(MARKS)
    (tmp_path / "Procfile").write_text(f"worker: exec '{sys.executable}' '{tmp_path}/marks.py'\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.supervise", str(tmp_path / "Procfile"), "5"],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    yield process
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)


def numbers(process: subprocess.Popen[str]) -> list[int]:
    assert process.stdout is not None
    line = next(line for line in process.stdout if "| pids" in line)
    return [int(word) for word in line.split()[-3:]]


class TestSupervisor:
    def test_what_a_killed_worker_leaves_is_killed_and_reaped_at_once(
        self, supervisor: subprocess.Popen[str]
    ) -> None:
        worker, agent, brief = numbers(supervisor)
        own = psutil.Process(supervisor.pid)
        os.kill(worker, signal.SIGKILL)
        again = numbers(supervisor)
        assert not runs(agent)
        until(lambda: {child.pid for child in own.children()} == {again[0]}, "dead children to be reaped")
        assert not psutil.pid_exists(brief)

    def test_nothing_is_left_after_ctrl_c_that_follows_a_kill(
        self, supervisor: subprocess.Popen[str]
    ) -> None:
        pids = numbers(supervisor)
        os.kill(pids[0], signal.SIGKILL)
        supervisor.send_signal(signal.SIGINT)
        rest, _ = supervisor.communicate(timeout=30)
        assert supervisor.returncode == 0
        assert not any(runs(pid) for pid in pids)
        assert f"killed process {pids[1]}, an agent's of worker@here, which has ended" in rest

    def test_a_worker_that_does_not_stop_in_time_leaves_nothing(
        self, supervisor: subprocess.Popen[str]
    ) -> None:
        pids = numbers(supervisor)
        os.kill(pids[0], signal.SIGSTOP)
        supervisor.send_signal(signal.SIGINT)
        supervisor.communicate(timeout=30)
        assert not any(runs(pid) for pid in pids)

    def test_agents_of_a_worker_that_it_did_not_start_live_on(
        self, supervisor: subprocess.Popen[str], start: Callable[..., Started], dead: Life
    ) -> None:
        foreign = start(mark_of(dead))
        pids = numbers(supervisor)
        os.kill(pids[0], signal.SIGKILL)
        supervisor.send_signal(signal.SIGINT)
        supervisor.communicate(timeout=30)
        assert runs(foreign.pid)
        assert not any(runs(pid) for pid in pids)


UP = """
import os, sys
from pathlib import Path
from scheduler_bridge.up import up
sys.exit(up(Path(sys.argv[1]), Path(sys.argv[2]), os.environ))
"""


def test_nothing_is_left_of_up_after_its_worker_was_killed_and_ctrl_c(
    a_hydra: Hydra, environment: dict[str, str], config: str, tmp_path: Path
) -> None:
    with subprocess.Popen(
        launcher([sys.executable, "-c", UP, config, str(tmp_path / "state")], death_signal=signal.SIGTERM),
        cwd=PROJECT,
        env={**environment, "SCHEDULER_BRIDGE_CONFIG": config},
        stdout=subprocess.PIPE,
        text=True,
    ) as everything:
        try:
            _, heads = a_hydra(tmp_path / "job")
            family = psutil.Process(everything.pid).children(recursive=True)
            os.kill(psutil.Process(heads[0]).ppid(), signal.SIGKILL)
            everything.send_signal(signal.SIGINT)
            everything.communicate(timeout=60)
            assert everything.returncode == 0
            assert not any(runs(pid) for pid in heads)
            assert psutil.wait_procs(family, timeout=10)[1] == []
        finally:
            everything.kill()
