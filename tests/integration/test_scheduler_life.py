"""What signals do to the parts of a scheduler, with parts that tell what they get."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.integration.fleet import until
from tests.process_nodes import PROJECT

LIFE = """
import os, sys
from scheduler_bridge.daemon.detach import Starter
from scheduler_bridge.daemon.life import Life
from scheduler_bridge.daemon.main_log import MainLog
from scheduler_bridge.embedded import Services
from scheduler_bridge.procfile import Part
database, part, log = sys.argv[1:4]
services = Services(database, "redis://unused", database_is_ours=False)
parts = [Part(name, (sys.executable, part)) for name in ("bridge", "worker", "beat")]
Life(services, MainLog(log, 3), Starter(None), "h1", grace_seconds=20).run(parts, os.environ)
"""
# Ends with SIGTERM, SIGQUIT or SIGUSR1, which is how a worker leaves that has been drained.
PART = """
import os, signal, sys
def ends(number, frame):
    print("got", signal.Signals(number).name, flush=True)
    sys.exit(0)
for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGUSR1):
    signal.signal(number, ends)
signal.signal(signal.SIGHUP, lambda *_: print("got SIGHUP", flush=True))
print("pid", os.getpid(), flush=True)
while True:
    signal.pause()
"""
DRAINING = "select from scheduler_bridge.host where name = 'h1' and draining"


class Living:
    """A scheduler's life in a process of its own."""

    def __init__(self, database: str, part: Path, log: Path) -> None:
        self.log = log
        self.process = subprocess.Popen(
            [sys.executable, "-c", LIFE, database, str(part), str(log)],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def texts(self) -> list[str]:
        """The lines without time and pid."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line.partition(" :: ")[2] for line in lines]

    def wait_for(self, beginning: str) -> str:
        """The first line that begins so."""

        def find() -> str | None:
            return next((text for text in self.texts() if text.startswith(beginning)), None)

        return str(until(find, f"a line {beginning!r}"))

    def pid_of(self, part: str) -> int:
        """What the part has told."""
        return int(self.wait_for(f"NOTE: {part}: pid").split()[-1])

    def wait_until_up(self) -> None:
        """All parts have set up their signals."""
        for part in ("bridge", "worker", "beat"):
            self.pid_of(part)


@pytest.fixture
def live(
    database: str, connection: psycopg.Connection[Any], tmp_path: Path
) -> Iterator[Callable[..., Living]]:
    """Start one whose parts run this script; its host is known to the database."""
    connection.execute("insert into scheduler_bridge.host (name, slots) values ('h1', 2)")
    started: list[Living] = []

    def start(script: str = PART) -> Living:
        part = tmp_path / "part.py"
        part.write_text(script)
        started.append(Living(database, part, tmp_path / "log"))
        started[-1].wait_until_up()
        return started[-1]

    yield start
    for living in started:
        living.process.kill()
        living.process.communicate()


def test_sigterm_drains_the_host_and_stops_the_rest_when_the_worker_has_left(
    live: Callable[..., Living], connection: psycopg.Connection[Any]
) -> None:
    living = live()
    living.process.send_signal(signal.SIGTERM)
    until(lambda: connection.execute(DRAINING.encode()).fetchone() is not None, "the drain")
    assert "NOTE: worker: got SIGTERM" not in living.texts()
    assert "NOTE: bridge: got SIGTERM" not in living.texts()
    subprocess.run(["kill", "-USR1", str(living.pid_of("worker"))], check=True)
    assert living.process.wait(20) == 0
    texts = living.texts()
    assert texts.index("NOTE: worker ended with status 0") < texts.index("NOTE: bridge: got SIGTERM")
    assert sum(text.startswith("NOTE: worker: pid") for text in texts) == 1


def test_a_drain_is_asked_for_again_when_the_worker_has_reported_only_now(
    live: Callable[..., Living], connection: psycopg.Connection[Any]
) -> None:
    connection.execute("delete from scheduler_bridge.host")
    living = live()
    living.process.send_signal(signal.SIGTERM)
    living.wait_for("NOTE: stopping when the running jobs have ended")
    connection.execute("insert into scheduler_bridge.host (name, slots) values ('h1', 2)")
    until(lambda: connection.execute(DRAINING.encode()).fetchone() is not None, "the drain")


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_stops_the_worker_too(live: Callable[..., Living], second: signal.Signals) -> None:
    living = live()
    living.process.send_signal(signal.SIGINT)
    living.wait_for("NOTE: stopping when the running jobs have ended")
    living.process.send_signal(second)
    assert living.process.wait(20) == 0
    assert "NOTE: worker: got SIGTERM" in living.texts()


def test_sigquit_is_what_the_worker_gets_and_all_it_gets(live: Callable[..., Living]) -> None:
    living = live(PART.replace("sys.exit(0)", "number != signal.SIGQUIT and sys.exit(0)"))
    living.process.send_signal(signal.SIGQUIT)
    assert living.process.wait(20) == 0
    got = [text for text in living.texts() if "got" in text or "killed" in text]
    assert [text for text in got if "worker" in text] == [
        "NOTE: worker: got SIGQUIT",
        "NOTE: worker did not stop in time: killed",
    ]


def test_sighup_reaches_the_bridge_alone_and_a_log_that_was_moved_away_is_made_anew(
    live: Callable[..., Living],
) -> None:
    living = live()
    old = living.log.rename(living.log.with_suffix(".1"))
    living.process.send_signal(signal.SIGHUP)
    assert living.wait_for("NOTE: bridge: got SIGHUP")
    assert old.read_text().count("SIGHUP") == 0
    assert not {"NOTE: worker: got SIGHUP", "NOTE: beat: got SIGHUP"} & set(living.texts())


def test_a_hang_up_at_the_end_does_not_hurry_it(live: Callable[..., Living]) -> None:
    living = live(PART.replace("sys.exit(0)", "number == signal.SIGUSR1 and sys.exit(0)"))
    for _ in range(2):
        living.process.send_signal(signal.SIGTERM)
        living.wait_for("NOTE: stopping")
    living.wait_for("NOTE: bridge: got SIGTERM")
    living.process.send_signal(signal.SIGHUP)
    living.wait_for("NOTE: reading the configuration again")
    for part in ("beat", "bridge", "worker"):
        subprocess.run(["kill", "-USR1", str(living.pid_of(part))], check=True)
    assert living.process.wait(20) == 0
    assert not any("killed" in text for text in living.texts())
