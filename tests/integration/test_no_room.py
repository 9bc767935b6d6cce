"""A machine that has no room for one more process just now costs a job time, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.builders import a_job, a_stream, insert
from tests.integration.fleet import QUICK, announce, configuration, ended, row, until
from workers.process import SpawnError, spawn

Start = Callable[..., Any]


def test_a_start_that_fails_for_want_of_room_is_told_from_one_that_never_will(tmp_path: Path) -> None:
    folder = configuration(tmp_path, {"quick": QUICK}) / "mods-enabled" / "quick" / "agent"
    program = folder / "quick"
    with program.open("ab"), pytest.raises(SpawnError) as busy:  # somebody writes it: an upgrade
        spawn([str(program)], str(folder))
    with pytest.raises(SpawnError) as missing:
        spawn([str(folder / "missing")], str(folder))
    assert (busy.value.passes, missing.value.passes) == (True, False)


@pytest.mark.parametrize("lease_seconds", ["30", "1"], ids=["in time", "after it went back to the queue"])
def test_a_job_waits_for_room_and_runs(
    start_process: Start,
    start_worker: Start,
    connection: psycopg.Connection[Any],
    tmp_path: Path,
    lease_seconds: str,
) -> None:
    folder = configuration(tmp_path / "conf", {"quick": QUICK})
    (folder / "fossology.conf").write_text("[SCHEDULER]\nfork_backoff_time = 1\n")
    variables = {"SCHEDULER_BRIDGE_CONFIG": str(folder), "SCHEDULER_BRIDGE_LEASE_SECONDS": lease_seconds}
    start_process("bridge", ["scheduler-bridge", "bridge"], ready_text="bridge ready", **variables)
    worker = start_worker("w1", **variables)
    program = folder / "mods-enabled" / "quick" / "agent" / "quick"
    with program.open("ab"):
        job = insert(connection, a_stream(a_job("quick")))["quick"]
        announce(connection)
        if lease_seconds == "1":
            returned = "select from scheduler_bridge.attempt where job = %s and ending = 'returned'"
            until(lambda: connection.execute(returned, [job]).fetchone() is not None, "the return")
        else:
            until(lambda: "tried again in" in worker.logs(), "the second attempt")
        assert row(connection, job)["jq_endtext"] is None
    assert ended(connection, job) == ["Completed"]
