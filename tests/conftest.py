"""Real servers for the session, a fresh database for each test, processes that end with their test."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from celery import Celery
from hypothesis import settings
from psycopg import sql
from pytest_celery import CeleryTestBackend, CeleryTestBroker, CeleryTestWorker

from scheduler_bridge.embedded import postgres, valkey
from scheduler_bridge.migrate import create_queue, migrate
from tests.process_nodes import BridgeSetup, BrokerBox, ProcessBox, WorkerBox

# Whoever starts tests in the background or under nohup has signals ignored, and every child would inherit that.
for number, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, default)

settings.register_profile(
    "busy machine", deadline=None
)  # other tests run beside, and a figure is no behaviour
settings.load_profile("busy machine")

UNSAFE_BUT_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of the server without a database name; one server a test process."""
    with postgres(tmp_path_factory.mktemp("postgres"), UNSAFE_BUT_FAST, database="template_bridge") as server:
        create_queue(server.url)
        migrate(server.url)
        yield server.url.removesuffix("/template_bridge")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of the session's Valkey; tests ask for `redis_url`."""
    with valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server.url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """An empty Valkey."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture
def database(postgres_server: str) -> Iterator[str]:
    """URL of a fresh database with the queue's tables and our schema."""
    yield from _copy_of(postgres_server, "template_bridge")


@pytest.fixture
def empty_database(postgres_server: str) -> Iterator[str]:
    """URL of a fresh database with nothing in it."""
    yield from _copy_of(postgres_server, "template0")


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to `database`, each statement committed at once."""
    with psycopg.connect(database, autocommit=True) as opened:
        yield opened


@pytest.fixture
def config_folder(tmp_path: Path) -> Path:
    """A configuration folder without agents, at a path with a space."""
    folder = tmp_path / "sys config"
    (folder / "mods-enabled").mkdir(parents=True)
    return folder


@pytest.fixture
def environment(database: str, redis_url: str, config_folder: Path) -> dict[str, str]:
    """The environment of a process of the project: ours on this test's database, broker and configuration."""
    own = ("DATABASE_URL", "REDIS_URL", "PORT", "SCHEDULER_BRIDGE_", "FO_SYSCONFDIR", "FLOWER_", "CELERY_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    path = os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)])
    return {
        **inherited,
        "PATH": path,
        "DATABASE_URL": database,
        "REDIS_URL": redis_url,
        "SCHEDULER_BRIDGE_CONFIG": str(config_folder),
        "SCHEDULER_BRIDGE_PORT": "0",
        "SCHEDULER_BRIDGE_STARTUP_TESTS": "off",  # many agents of tests are wrong on purpose
        "PYTHONUNBUFFERED": "1",
    }


@pytest.fixture
def start_process(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., ProcessBox]]:
    """Start a program: `start_process("bridge", command, ready_text=..., SCHEDULER_BRIDGE_CONFIG=...)`."""
    started: list[ProcessBox] = []

    def start(name: str, command: list[str], *, ready_text: str = "", **variables: str) -> ProcessBox:
        log = tmp_path / f"{name}.{len(started)}.log"
        box = ProcessBox(command, {**environment, **variables}, log, name=name, ready_text=ready_text).start()
        started.append(box)
        box.ready()
        return box

    yield start
    for box in reversed(started):
        box.teardown()


@pytest.fixture
def start_worker(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., CeleryTestWorker]]:
    """Start a worker as one host: `start_worker("h1", slots=4, queues="housekeeping", VARIABLE="value")`."""
    nodes: list[CeleryTestWorker] = []

    def start(
        name: str = "w1", *, slots: int = 2, queues: str | None = None, **variables: str
    ) -> CeleryTestWorker:
        log = tmp_path / f"{name}.{len(nodes)}.log"
        box = WorkerBox({**environment, **variables}, log, name=name, slots=slots, queues=queues)
        box.start()
        nodes.append(CeleryTestWorker(box, app=None))
        assert box.ready()
        return nodes[-1]

    yield start
    for node in reversed(nodes):
        node.teardown()


@pytest.fixture
def celery_setup_cls() -> type[BridgeSetup]:
    """pytest-celery's set-up on the project's app."""
    return BridgeSetup


@pytest.fixture
def celery_setup_app(
    celery_setup_cls: type[BridgeSetup],
    celery_setup_config: dict[str, Any],
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Celery:
    """The project's app in this process, to publish and to ask workers with; it runs no task here."""
    for name in ("DATABASE_URL", "REDIS_URL"):  # read when `tasks` is imported for the first time
        monkeypatch.setenv(name, environment[name])
    return celery_setup_cls.create_setup_app(celery_setup_config, "tasks")


@pytest.fixture
def celery_broker(redis_url: str) -> CeleryTestBroker:
    """The broker node."""
    return CeleryTestBroker(BrokerBox(redis_url))


@pytest.fixture
def celery_backend(redis_url: str) -> CeleryTestBackend:
    """The result backend's node."""
    return CeleryTestBackend(BrokerBox(redis_url))


@pytest.fixture
def celery_worker(
    start_worker: Callable[..., CeleryTestWorker], celery_setup_app: Celery
) -> CeleryTestWorker:
    """One worker with two slots, ready."""
    node = start_worker("w1")
    node._app = celery_setup_app
    return node


def _copy_of(server: str, template: str) -> Iterator[str]:
    name = sql.Identifier(f"test_{os.urandom(6).hex()}")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as maintenance:
        maintenance.execute(sql.SQL("create database {} template {}").format(name, sql.Identifier(template)))
    try:
        yield f"{server}/{name.as_string().strip(chr(34))}"
    finally:
        with psycopg.connect(f"{server}/postgres", autocommit=True) as maintenance:
            maintenance.execute(sql.SQL("drop database {} with (force)").format(name))
