"""What `prune` removes from a repository that is not ours alone."""

from __future__ import annotations

import os
import time
import zipfile
from pathlib import Path
from typing import Any

import psycopg
import pytest

from scheduler_bridge.store.postgres import PostgresStore
from scheduler_bridge.store.pruning import Pruned, prune_history
from tests.builders import a_job, a_stream, insert
from tests.integration.pipes import finish, shipped, start

Connection = psycopg.Connection[Any]
DAYS = 30
STREAM = 7


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One that FOSSology uses too."""
    folder = tmp_path / "repository"
    for name in ("localhost/files/7/aa", "7/attempt", "gold"):
        (folder / name).mkdir(parents=True)
    (folder / "7" / "attempt" / "file").write_text("FOSSology's")
    return folder


@pytest.fixture
def unpacked(database: str, repository: Path, tmp_path: Path) -> Path:
    """The folder of a stream of which an archive was unpacked."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("member", "x")
    settings = {"DATABASE_URL": database, "SCHEDULER_BRIDGE_REPOSITORY": str(repository)}
    assert finish(start(shipped("unpack"), settings, stream=STREAM), str(tmp_path / "a.zip")).code == 0
    return repository / "scheduler-bridge" / str(STREAM)


def left_by_a_killed_attempt(stream: Path, *, days_ago: int) -> Path:
    """The folder of an attempt that was killed so long ago."""
    folder = stream / f"killed{days_ago}"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "0").write_text("half")
    changed_at = time.time() - days_ago * 86_400
    os.utime(folder, (changed_at, changed_at))
    return folder


def below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_results_keep_their_files_and_what_killed_attempts_left_goes(
    connection: Connection, repository: Path, unpacked: Path
) -> None:
    (kept,) = unpacked.iterdir()
    old, young = (left_by_a_killed_attempt(unpacked, days_ago=days) for days in (31, 29))
    lone = left_by_a_killed_attempt(unpacked.with_name("8"), days_ago=31)
    assert prune_history(connection, DAYS, repository).folders == 2
    assert set(unpacked.iterdir()) == {kept, young}
    assert not lone.parent.exists() and not old.exists()
    assert (kept / "1" / "0").read_text() == "x"


def test_with_its_results_all_files_of_a_stream_go(
    connection: Connection, repository: Path, unpacked: Path
) -> None:
    foreign = (
        below(repository) - {"scheduler-bridge"} - {f"scheduler-bridge/{x}" for x in below(unpacked.parent)}
    )
    connection.execute("update scheduler_bridge.scan_run set finished_at = now() - interval '31 days'")
    assert prune_history(connection, DAYS, repository) == Pruned(0, 1, 0, 1)
    assert below(repository) == foreign | {"scheduler-bridge"}
    assert (repository / "7" / "attempt" / "file").read_text() == "FOSSology's"


def test_an_open_stream_keeps_every_file(connection: Connection, database: str, repository: Path) -> None:
    rows = insert(connection, a_stream(a_job("unpack")))
    store = PostgresStore(database)
    store.observe()
    store.close()
    folder = left_by_a_killed_attempt(repository / "scheduler-bridge" / str(rows.stream), days_ago=99)
    assert prune_history(connection, DAYS, repository).folders == 0
    assert (folder / "1" / "0").exists()


def test_what_is_no_folder_of_a_stream_stays(connection: Connection, repository: Path) -> None:
    ours = repository / "scheduler-bridge"
    elsewhere = left_by_a_killed_attempt(repository / "gold" / "9", days_ago=99)
    for name in ("notes", "9999999999", "\N{SUPERSCRIPT TWO}"):
        left_by_a_killed_attempt(ours / name, days_ago=99)
    (ours / "9").symlink_to(elsewhere.parent)
    (ours / "10").mkdir()
    (ours / "10" / "linked").symlink_to(elsewhere)
    (ours / "11").write_text("a file")
    before = below(repository)
    assert prune_history(connection, DAYS, repository).folders == 0
    assert below(repository) == before
    assert prune_history(connection, DAYS, repository / "missing").folders == 0
