"""One start-up test of one agent: the test agents of FOSSology's scheduler, pre-2.0 ones, and what is left behind."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import psutil
import pytest

from scheduler_bridge.model.agents import AgentType, Special
from tests.integration.fleet import until
from tests.toy import AGENTS, members_of, open_descriptors, toy_type
from workers import startup_test as startup
from workers.startup_test import StartupTest, startup_test
from workers.timing import Timers

DEATH_SECONDS = 1.0
LONGER_SECONDS = 1.5 * DEATH_SECONDS
TIMERS = Timers(
    ready_seconds=20, death_seconds=DEATH_SECONDS, update_seconds=20, grace_seconds=3, linger_seconds=3
)
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin"}

CONNECTS = "import sys, time\ndef say(text): print(text, flush=True)\nsay('VERSION: 1.2.abc\\n\\nOK')\n"
NEXT = "sys.stdin.readline()\n"
DISCONNECTS = "say('HEART: 0 0\\n\\nBYE 0')\n"
SLEEPS = f"time.sleep({LONGER_SECONDS})\n"
LOOPS = "while True: time.sleep(100)\n"

GOOD = {
    "simple": CONNECTS + NEXT + DISCONNECTS,
    "db_connect": CONNECTS + NEXT + "say('BYE 0')\n",
    "multi_connect": CONNECTS + "say('WARNING libfossscheduler.c.1: connected twice')\n" + NEXT + DISCONNECTS,
    "no_update": CONNECTS + "say('SPECIAL: 1 1')\n" + SLEEPS + NEXT + DISCONNECTS,
}
WRONG = {
    "before_connect": ("print('hello', end='')\n" + CONNECTS, "agent did not greet, but said: helloVERSION"),
    "no_check": (CONNECTS + NEXT + LOOPS, "no heartbeat for "),
    "no_disconnect": (CONNECTS + NEXT, "it ended without BYE: agent failed, code: 0"),
    "quick_death": (CONNECTS, "it ended without BYE: agent failed, code: 0"),
    "wait_special": (
        CONNECTS + "say('SPECIAL: 1 1')\n" + SLEEPS + "say('SPECIAL: 1 0')\n" + LOOPS,
        "no heartbeat for ",
    ),
    "says_why": (
        "print('FATAL: no database')\nraise SystemExit(253)\n",
        "agent did not greet, but said: FATAL: no database",
    ),
    "cannot_connect": ("raise SystemExit(253)\n", "it ended before it was ready: agent failed, code: 253"),
    "fails": (CONNECTS + NEXT + "say('no disk')\nsay('BYE 3')\n", "agent failed with error code 3; "),
    "stays": (CONNECTS + NEXT + DISCONNECTS + LOOPS, "agent said BYE and did not end"),
    "says_ok_again": (CONNECTS + NEXT + "say('OK')\n" + LOOPS, "no heartbeat for "),
}


def agent_type(folder: Path, name: str, script: str, *special: Special) -> AgentType:
    """An agent type that runs a Python script."""
    program = folder / name
    program.write_text("#!/usr/bin/env python3\n" + script)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return AgentType(name, (name,), folder, special=frozenset(special))


def outcome_of(agent: AgentType, timers: Timers = TIMERS) -> str | None:
    """The result of a test that leaves no descriptor and no child behind."""
    before, others = open_descriptors(), children()
    result = startup_test(agent, Path("/nowhere"), timers, ENVIRONMENT)
    assert open_descriptors() <= before
    assert children() == others
    return result


def children() -> set[psutil.Process]:
    """Of this process: servers of other tests among them."""
    return set(psutil.Process().children())


@pytest.mark.parametrize("name", GOOD)
def test_an_agent_that_greets_and_leaves_when_told_has_passed(name: str, tmp_path: Path) -> None:
    assert outcome_of(agent_type(tmp_path, name, GOOD[name])) is None


@pytest.mark.parametrize("name", WRONG)
def test_an_agent_that_does_not_fails_with_its_reason(name: str, tmp_path: Path) -> None:
    script, reason = WRONG[name]
    result = outcome_of(agent_type(tmp_path, name, script))
    assert result is not None and result.startswith(reason)


def test_the_last_line_that_a_failed_agent_has_printed_is_part_of_the_reason(tmp_path: Path) -> None:
    script, _ = WRONG["fails"]
    result = outcome_of(agent_type(tmp_path, "fails", script))
    assert result == "agent failed with error code 3; the last it printed: no disk"


def test_an_agent_type_with_nokill_is_exempt_from_the_timers(tmp_path: Path) -> None:
    slow = agent_type(tmp_path, "slow", CONNECTS + SLEEPS + NEXT + DISCONNECTS, Special.NOKILL)
    assert outcome_of(slow) is None


def test_an_agent_that_nothing_ends_is_not_tested_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "LONGEST_SECONDS", 0.5)
    hangs = agent_type(tmp_path, "hangs", CONNECTS + LOOPS, Special.NOKILL)
    assert outcome_of(hangs) == "agent did not end in time"


def test_an_agent_is_given_no_job_and_no_data(tmp_path: Path) -> None:
    words = "--jobId=0", "--config=/nowhere", "--userID=0", "--groupID=0", "--scheduler_start"
    checks = f"assert sys.argv[1:] == {list(words)}\n"
    asks = "assert sys.stdin.readline() == 'CLOSE\\n'\n"
    assert outcome_of(agent_type(tmp_path, "asks", CONNECTS + checks + asks + DISCONNECTS)) is None


def test_a_pre_2_0_agent_passes_when_it_ends_with_its_input() -> None:
    assert outcome_of(toy_type("good_legacy")) is None


def test_a_pre_2_0_agent_that_stays_is_killed_and_fails() -> None:
    result = outcome_of(toy_type("stubborn_legacy"))
    assert result is not None and result.startswith("no heartbeat for ")


def test_a_program_that_cannot_be_started_fails_with_its_path() -> None:
    assert (
        outcome_of(toy_type("is_not_there"))
        == f"{AGENTS}/is_not_there cannot be started: No such file or directory"
    )


def test_what_an_agent_has_started_is_killed_although_it_has_passed(tmp_path: Path) -> None:
    group = tmp_path / "group"
    starts = f"import os, subprocess\nopen('{group}', 'w').write(str(os.getpid()))\n"
    starts += "subprocess.Popen(['sleep', '1000'])\n"
    assert outcome_of(agent_type(tmp_path, "starts", CONNECTS + starts + NEXT + DISCONNECTS)) is None
    until(lambda: not members_of(int(group.read_text())), "the end of the group")


def test_a_test_can_be_broken_off(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    hangs = agent_type(tmp_path, "hangs", CONNECTS + f"open('{ready}', 'w')\n" + LOOPS, Special.NOKILL)
    test = StartupTest(hangs, Path("/nowhere"), TIMERS, ENVIRONMENT)
    results: list[str | None] = []
    others = children()
    thread = threading.Thread(target=lambda: results.append(test.run()))
    thread.start()
    until(ready.exists, "the agent")
    test.break_off()
    thread.join(10)
    assert results == [startup.BROKEN_OFF]
    assert children() == others


def test_a_test_that_is_broken_off_before_it_begins_starts_no_work() -> None:
    test = StartupTest(toy_type("ignores_signals"), Path("/nowhere"), TIMERS, ENVIRONMENT)
    test.break_off()
    assert test.run() == startup.BROKEN_OFF


def test_the_version_is_known_afterwards(tmp_path: Path) -> None:
    test = StartupTest(agent_type(tmp_path, "simple", GOOD["simple"]), Path("/nowhere"), TIMERS, ENVIRONMENT)
    assert test.run() is None
    assert test.version == "1.2.abc"
