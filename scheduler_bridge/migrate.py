"""Our schema in the database: numbered SQL files, forward only, each applied once in its own transaction.

Any number of processes may migrate at once: each file is applied under an advisory lock of its transaction,
so one applies it and the others then find it done. No session state is kept, so a transaction pooler is no
obstacle. Files of the schema never touch a foreign table; what does is a function of its own below.

A file whose first line is `-- compatible from: N` leaves a schema that programs which know nothing later than file N
still work with: they go on, and may start, beside newer ones. Without that line programs before the file may not.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from scheduler_bridge.errors import SchemaError

MIGRATIONS = Path(__file__).with_name("migrations")
QUEUE = MIGRATIONS / "queue"
LOCK = "scheduler_bridge.migration"
COMPATIBLE = re.compile(r"-- compatible from: (\d+)")

PREPARE = """
create schema if not exists scheduler_bridge;
create table if not exists scheduler_bridge.migration (
    version int primary key,
    name text not null,
    sha256 text not null,
    compatible_from int not null,  -- the last file that a program must know to work with the schema after this one
    applied_at timestamptz not null default now()
);
"""


@dataclass(frozen=True, slots=True)
class _Migration:
    """One numbered file."""

    version: int  # the number before the underscore
    name: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def compatible_from(self) -> int:
        """The last file that a program must know to work with the schema as this one leaves it."""
        first = self.text.partition("\n")[0].rstrip()
        line = COMPATIBLE.fullmatch(first)
        if line is None and "compatible" in first:
            raise SchemaError(
                f"{self.name}: its first line must be `-- compatible from: N`, or say nothing of that"
            )
        return min(int(line[1]), self.version) if line else self.version


@dataclass(frozen=True, slots=True)
class _Applied:
    """What the database remembers of a file."""

    sha256: str
    compatible_from: int


def migrate(url: str, folder: Path = MIGRATIONS) -> list[str]:
    """Bring the schema up to this version; the names of the files applied now, none when it already was.

    Raises SchemaError when an applied file was edited or the database is too new for this program, and
    psycopg.Error, with nothing of the failing file applied, when a statement fails.
    """
    migrations = _read(folder)
    applied = []
    with psycopg.connect(url, autocommit=True) as connection:
        while name := _apply_next(connection, migrations):
            applied.append(name)
    return applied


def check_schema(connection: psycopg.Connection[Any], folder: Path = MIGRATIONS) -> None:
    """Raise SchemaError unless the database is at this version, or at a later one that is compatible with it.

    An applied file that has been edited since counts as another version.
    """
    known = connection.execute("select to_regclass(%s)", [LOCK]).fetchone()
    present = _applied(connection) if known and known[0] else {}
    migrations = _read(folder)
    _refuse_newer(present, migrations)
    _refuse_edited(present, migrations)
    missing = [migration.name for migration in migrations if migration.version not in present]
    if missing:
        raise SchemaError(f"the database lacks {', '.join(missing)}: run `scheduler-bridge migrate`")


def create_queue(url: str) -> None:
    """Create the tables `job`, `jobqueue` and `jobdepends` where they are missing; existing ones stay."""
    _run_file(url, QUEUE / "queue.sql")


def install_trigger(url: str) -> None:
    """Let every insert into `jobqueue` wake the bridges. The schema must be there; harmless when repeated."""
    _run_file(url, QUEUE / "install_trigger.sql")


def remove_trigger(url: str) -> None:
    """Undo `install_trigger`; harmless when there is none."""
    _run_file(url, QUEUE / "remove_trigger.sql")


def _read(folder: Path) -> list[_Migration]:
    files = sorted(folder.glob("[0-9]*_*.sql"))
    migrations = [_Migration(int(f.name.partition("_")[0]), f.name, f.read_text("utf-8")) for f in files]
    if len({migration.version for migration in migrations}) < len(migrations):
        raise SchemaError(f"two files in {folder} have the same number")
    return sorted(migrations, key=lambda migration: migration.version)


def _apply_next(connection: psycopg.Connection[Any], migrations: list[_Migration]) -> str | None:
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(hashtext(%s))", [LOCK])
        connection.execute(PREPARE)
        present = _applied(connection)
        _refuse_newer(present, migrations)
        _refuse_edited(present, migrations)
        pending = [migration for migration in migrations if migration.version not in present]
        if not pending:
            return None
        _apply(connection, pending[0])
        return pending[0].name


def _applied(connection: psycopg.Connection[Any]) -> dict[int, _Applied]:
    rows = connection.execute(
        "select version, sha256, compatible_from from scheduler_bridge.migration"
    ).fetchall()
    return {version: _Applied(sha256, compatible_from) for version, sha256, compatible_from in rows}


def _apply(connection: psycopg.Connection[Any], migration: _Migration) -> None:
    connection.execute("set local search_path = scheduler_bridge, public")
    connection.execute("set local lock_timeout = '5s'")  # rather fail than hold up a busy queue
    connection.execute(migration.text.encode())
    connection.execute(
        "insert into scheduler_bridge.migration (version, name, sha256, compatible_from) values (%s, %s, %s, %s)",
        [migration.version, migration.name, migration.sha256, migration.compatible_from],
    )


def _refuse_newer(present: Mapping[int, _Applied], migrations: list[_Migration]) -> None:
    newest = max((migration.version for migration in migrations), default=0)
    needed = max((file.compatible_from for version, file in present.items() if version > newest), default=0)
    if needed > newest:
        raise SchemaError(
            f"the database is at migration {max(present)}, which needs programs that know {needed}, and this one "
            f"knows only {newest}: install the newer scheduler-bridge, then run `scheduler-bridge migrate`"
        )


def _refuse_edited(present: Mapping[int, _Applied], migrations: list[_Migration]) -> None:
    for migration in migrations:
        if migration.version in present and present[migration.version].sha256 != migration.sha256:
            raise SchemaError(f"{migration.name} was edited after it was applied; add a new file instead")


def _run_file(url: str, path: Path) -> None:
    with psycopg.connect(url) as connection:
        # `if not exists` does not keep two at once from meeting in the catalogue.
        connection.execute("select pg_advisory_xact_lock(hashtext(%s))", [LOCK])
        connection.execute("set local lock_timeout = '5s'")
        connection.execute(path.read_bytes())
