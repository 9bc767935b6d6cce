"""Whether the parts have come up, and what the starter of a daemon hears."""

from __future__ import annotations

import os
import threading

import pytest

from scheduler_bridge.daemon import startup
from scheduler_bridge.daemon.detach import Starter
from scheduler_bridge.daemon.startup import Startup


def test_all_are_up_when_the_last_has_said_so() -> None:
    up: list[str] = []
    starting = Startup(["bridge", "worker", "unknown"], up.append)
    starting.heard("worker", "celery@h ready.")
    starting.heard("unknown", "bridge ready.")
    starting.heard("bridge", "begins")
    assert (starting.waiting, up) == (["bridge"], [])
    starting.heard("bridge", "bridge ready.")
    starting.heard("bridge", "bridge ready.")
    assert (starting.waiting, up) == ([], [""])


def test_who_takes_too_long_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "LONGEST_SECONDS", 0.01)
    told = threading.Event()
    up: list[str] = []

    def give_up(remark: str) -> None:
        up.append(remark)
        told.set()

    starting = Startup(["bridge", "beat"], give_up)
    starting.heard("beat", "beat: Starting...")
    starting.begin()
    assert told.wait(10)
    assert up == ["not ready yet: bridge; see the log"]


def test_the_first_word_to_the_starter_counts() -> None:
    reader, writer = os.pipe()
    starter = Starter(writer)
    starter.tell_failed(254, "no database")
    starter.tell_up()
    assert not starter.waits
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b"254\nno database"


def test_a_starter_that_has_gone_is_no_obstacle() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    starter = Starter(writer)
    starter.tell_up()
    assert not starter.waits
