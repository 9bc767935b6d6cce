"""A small fleet for tests: a configuration folder of toy agents, a bridge, workers, and waiting for rows."""

from __future__ import annotations

import socket
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg

from scheduler_bridge.servers import LOOPBACK

PATIENCE_SECONDS = 30.0
LOOK_SECONDS = 0.02

# A number as data: seconds to work, with a heartbeat each tenth; says goodbye on SIGHUP.
NAPPER = """#!/usr/bin/env python3
import signal, sys, time
signal.signal(signal.SIGHUP, lambda *_: sys.exit(1))
print("VERSION: 1\\nOK", flush=True)
items = 0
for line in sys.stdin:
    word = line.strip()
    if word == "CLOSE":
        break
    if word == "END":
        print("OK", flush=True)
        continue
    end = time.monotonic() + float(word or 0)
    while True:
        items += 1
        print(f"HEART: {items} 1", flush=True)
        if time.monotonic() >= end:
            break
        time.sleep(0.1)
print(f"HEART: {items} 0\\nBYE 0", flush=True)
"""

QUICK = """#!/bin/sh
printf 'VERSION: 1\\n\\nOK\\n'
while read -r line; do
    case "$line" in
    CLOSE) break ;;
    END) echo OK ;;
    *) echo "works on $line"; echo 'HEART: 3 1' ;;
    esac
done
printf 'HEART: 4 0\\n\\nBYE 0\\n'
"""

FAILS = """#!/bin/sh
printf 'VERSION: 1\\n\\nOK\\n'
read -r line
echo "FATAL fails: cannot read $line"
echo 'BYE 3'
"""


def configuration(
    folder: Path, agents: Mapping[str, str], *, limits: Mapping[str, str] | None = None
) -> Path:
    """A configuration folder whose agent types run these scripts; `limits` adds lines to their .conf."""
    for name, script in agents.items():
        module = folder / "mods-enabled" / name
        (module / "agent").mkdir(parents=True)
        program = module / "agent" / name
        program.write_text(script)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        settings = (limits or {}).get(name, "max = -1\nspecial[] =\n")
        (module / f"{name}.conf").write_text(f"[default]\ncommand = {name}\n{settings}")
    return folder


def small_fleet(folder: Path) -> dict[str, str]:
    """The environment of processes that sweep often, stop soon and run `quick` and `nap`, two at a time."""
    return {
        "SCHEDULER_BRIDGE_CONFIG": str(configuration(folder / "conf", {"quick": QUICK, "nap": NAPPER})),
        "SCHEDULER_BRIDGE_SWEEP_SECONDS": "0.5",
        "SCHEDULER_BRIDGE_STOP_GRACE_SECONDS": "2",
        "SCHEDULER_BRIDGE_SLOTS": "2",
    }


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """The first true value of `condition`; fails with `what` was waited for when there is none in time."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}"
        time.sleep(LOOK_SECONDS)
    return value


def passed(seconds: float) -> None:
    """Let a time pass that is itself what is tested: an outage, a silence."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() >= end, "the end of a time", seconds + PATIENCE_SECONDS)


def row(connection: psycopg.Connection[Any], job: int) -> dict[str, Any]:
    """A row of jobqueue by column."""
    cursor = connection.execute("select * from jobqueue where jq_pk = %s", [job])
    values = cursor.fetchone()
    assert values is not None and cursor.description is not None
    return {column.name: value for column, value in zip(cursor.description, values, strict=True)}


def ended(connection: psycopg.Connection[Any], *jobs: int, seconds: float = PATIENCE_SECONDS) -> list[str]:
    """Wait until these jobs have ended; their texts."""

    def texts() -> list[str] | None:
        found = connection.execute(
            "select jq_endtext from jobqueue where jq_pk = any(%s) and jq_endtime is not null order by jq_pk",
            [list(jobs)],
        ).fetchall()
        return [text for (text,) in found] if len(found) == len(jobs) else None

    return list(until(texts, f"the end of jobs {jobs}", seconds))


def started(connection: psycopg.Connection[Any], job: int) -> None:
    """Wait until the job's agent has said its first OK."""
    until(lambda: row(connection, job)["jq_endtext"] == "Started", f"the start of job {job}")


def idle(connection: psycopg.Connection[Any]) -> None:
    """Kill whatever earlier tests have left, and wait until no worker has anything to do."""
    left = "select jq_pk from jobqueue where jq_endtime is null"
    connection.execute(f"select scheduler_bridge.kill_job(jq_pk, 'over') from ({left}) open".encode())
    held = "select from scheduler_bridge.attempt where ended_at is null"
    until(lambda: connection.execute(held.encode()).fetchone() is None, "the end of all attempts")


def ask(port: int, command: bytes) -> bytes:
    """Send one command to a command port on a connection of its own; its whole reply."""
    with socket.create_connection((LOOPBACK, port), timeout=10) as client:
        client.sendall(command)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b""))


def announce(connection: psycopg.Connection[Any]) -> None:
    """What `submit` does after an insert."""
    connection.execute("select pg_notify('scheduler_bridge', '')")
