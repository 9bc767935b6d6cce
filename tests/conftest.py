"""Real servers for the session, a fresh database for each test, processes that end with their test."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
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
TEMPLATE = "template_bridge"  # a database with the queue's tables and our schema
MEMORY = Path("/dev/shm")  # a copy of a database is 300 files: a third of the time of one on a disk
OURS = "scheduler-bridge-tests-"
BROKERS = cycle(range(1, 16))  # databases of one Valkey; 0 is that of tests which share nothing
ROOM_BYTES = 4 * 2**30  # containers have 64 MB there

Environment = dict[str, str]
StartProcess = Callable[..., ProcessBox]
StartWorker = Callable[..., CeleryTestWorker]


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the servers of this session keep their data: in memory where there is room."""
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM_BYTES:
        for left in MEMORY.glob(f"{OURS}*"):
            if not psutil.pid_exists(int(left.name.removeprefix(OURS).partition("-")[0])):
                shutil.rmtree(left, ignore_errors=True)  # of a session that was killed
        with TemporaryDirectory(prefix=f"{OURS}{os.getpid()}-", dir=MEMORY) as folder:
            yield Path(folder)
    else:
        yield tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def postgres_server(data_folder: Path) -> Iterator[str]:
    """URL of the server without a database name; one server a test process."""
    with postgres(data_folder / "postgres", UNSAFE_BUT_FAST, database=TEMPLATE) as server:
        create_queue(server.url)
        migrate(server.url)
        yield server.url.removesuffix(f"/{TEMPLATE}")


@pytest.fixture(scope="session")
def redis_server(data_folder: Path) -> Iterator[str]:
    """URL of the session's Valkey; tests ask for `redis_url`."""
    with valkey(data_folder / "valkey") as server:
        yield server.url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """An empty database 0 of it."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushdb()
    return redis_server


@pytest.fixture
def database(postgres_server: str) -> Iterator[str]:
    """URL of a fresh database with the queue's tables and our schema."""
    with copy_of(postgres_server, TEMPLATE) as url:
        yield url


@pytest.fixture
def empty_database(postgres_server: str) -> Iterator[str]:
    """URL of a fresh database with nothing in it."""
    with copy_of(postgres_server, "template0") as url:
        yield url


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
def environment(database: str, redis_url: str, config_folder: Path) -> Environment:
    """The environment of a process of the project: ours on this test's database, broker and configuration."""
    return environment_of(database, redis_url, config_folder)


def environment_of(database: str, redis_url: str, config_folder: Path) -> Environment:
    """This process's own without what is set for the project, and with these."""
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
def start_process(environment: Environment, tmp_path: Path) -> Iterator[StartProcess]:
    """Start a program: `start_process("bridge", command, ready_text=..., SCHEDULER_BRIDGE_CONFIG=...)`."""
    with process_starter(environment, tmp_path) as start:
        yield start


@contextmanager
def process_starter(environment: Environment, folder: Path) -> Iterator[StartProcess]:
    """What starts programs with this environment and their logs in that folder; in the end it ends them."""
    started: list[ProcessBox] = []

    def start(name: str, command: list[str], *, ready_text: str = "", **variables: str) -> ProcessBox:
        log = folder / f"{name}.{len(started)}.log"
        box = ProcessBox(command, {**environment, **variables}, log, name=name, ready_text=ready_text).start()
        started.append(box)
        box.ready()
        return box

    try:
        yield start
    finally:
        for box in reversed(started):
            box.teardown()


@pytest.fixture
def start_worker(environment: Environment, tmp_path: Path) -> Iterator[StartWorker]:
    """Start a worker as one host: `start_worker("h1", slots=4, queues="housekeeping", VARIABLE="value")`."""
    with worker_starter(environment, tmp_path) as start:
        yield start


@contextmanager
def worker_starter(environment: Environment, folder: Path) -> Iterator[StartWorker]:
    """The same for workers."""
    nodes: list[CeleryTestWorker] = []

    def start(
        name: str = "w1", *, slots: int = 2, queues: str | None = None, **variables: str
    ) -> CeleryTestWorker:
        log = folder / f"{name}.{len(nodes)}.log"
        box = WorkerBox({**environment, **variables}, log, name=name, slots=slots, queues=queues)
        box.start()
        nodes.append(CeleryTestWorker(box, app=None))
        assert box.ready()
        return nodes[-1]

    try:
        yield start
    finally:
        for node in reversed(nodes):
            node.teardown()


@dataclass(frozen=True, slots=True)
class Common:
    """What several tests share: a database, a broker, and what starts processes that go on from test to test."""

    folder: Path
    connection: psycopg.Connection[Any]  # each statement is committed at once
    start_process: StartProcess
    start_worker: StartWorker


@contextmanager
def common_to_tests(folder: Path, postgres_server: str, redis_server: str) -> Iterator[Common]:
    """For a fixture of a module; its tests find whatever those before have left in the database."""
    broker = f"{redis_server.removesuffix('/0')}/{next(BROKERS)}"
    with ExitStack() as stack:
        url = stack.enter_context(copy_of(postgres_server, TEMPLATE))
        environment = environment_of(url, broker, folder)
        stack.enter_context(redis.Redis.from_url(broker)).flushdb()
        yield Common(
            folder,
            stack.enter_context(psycopg.connect(url, autocommit=True)),
            stack.enter_context(process_starter(environment, folder)),
            stack.enter_context(worker_starter(environment, folder)),
        )


@pytest.fixture(scope="module")
def common(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: str, redis_server: str
) -> Iterator[Common]:
    """For the tests of a module."""
    with common_to_tests(tmp_path_factory.mktemp("common"), postgres_server, redis_server) as found:
        yield found


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
def celery_worker(start_worker: StartWorker, celery_setup_app: Celery) -> CeleryTestWorker:
    """One worker with two slots, ready."""
    node = start_worker("w1")
    node._app = celery_setup_app
    return node


@contextmanager
def copy_of(server: str, template: str) -> Iterator[str]:
    """URL of a new database that is dropped in the end."""
    name = sql.Identifier(f"test_{os.urandom(6).hex()}")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as maintenance:
        # Without the write-ahead log; before version 15 there was nothing to choose.
        how = sql.SQL(" strategy file_copy" if maintenance.info.server_version >= 150_000 else "")
        make = sql.SQL("create database {} template {}{}")
        maintenance.execute(make.format(name, sql.Identifier(template), how))
    try:
        yield f"{server}/{name.as_string().strip(chr(34))}"
    finally:
        with psycopg.connect(f"{server}/postgres", autocommit=True) as maintenance:
            maintenance.execute(sql.SQL("drop database {} with (force)").format(name))
