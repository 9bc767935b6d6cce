"""The fleet under attack: two hosts, two bridges, two beats, one housekeeping, each behind proxies of its own."""

from __future__ import annotations

import os
import struct
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
import redis

from scheduler_bridge.dispatch.routes import HOUSEKEEPING
from scheduler_bridge.embedded import postgres, valkey
from scheduler_bridge.migrate import create_queue, install_trigger, migrate
from tests.chaos.kinds import write_configuration
from tests.chaos.records import agents_of
from tests.chaos.server import ChaosError, Embedded
from tests.process_nodes import PROJECT, ProcessBox
from tests.proxy import Proxy

SLOTS = 3
LEASE_SECONDS = 3
SWEEP_SECONDS = 0.5
RESTART_SECONDS = 1.0  # after an end that nobody has asked for, as a supervisor waits
READY_SECONDS = 60.0
TICK_SECONDS = 0.05
CLOCK = Path(__file__).with_name("clock")
CRASH_SAFE = {"fsync": "off"}  # a killed server's writes are the kernel's already
OWN_NAMES = (
    "DATABASE_URL",
    "REDIS_URL",
    "PORT",
    "SCHEDULER_BRIDGE_",
    "FO_SYSCONFDIR",
    "FLOWER_",
    "CELERY_",
    "CHAOS_",
)
WORKER = ("celery", "-A", "tasks", "worker", "--loglevel=INFO", "--without-gossip", "--without-mingle", "-n")
BEAT = ("celery", "-A", "tasks", "beat", "--loglevel=INFO", "--pidfile=")
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "bridge1": ("scheduler_bridge", "bridge"),
    "bridge2": ("scheduler_bridge", "bridge"),
    "w1": (*WORKER, "w1@%h", "-c", str(SLOTS)),
    "w2": (*WORKER, "w2@%h", "-c", str(SLOTS)),
    "housekeeping": (*WORKER, "housekeeping@%h", "-c", "2", "-Q", HOUSEKEEPING),
    "beat1": BEAT,
    "beat2": BEAT,
}
HOSTS = ("w1", "w2")
REPORTED = b"""
select count(*) from scheduler_bridge.host h
where h.worker = any (%s::text[]) and exists (select from scheduler_bridge.host_agent_type t where t.host = h.name)
"""


class Fleet:
    """All processes and what is between them; used by one thread."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.record = folder / "record"
        self.record.touch()
        self.postgres = Embedded(lambda: postgres(folder / "postgres", CRASH_SAFE))
        stack.callback(self.postgres.close)
        self.valkey = Embedded(lambda: valkey(folder / "valkey"))
        stack.callback(self.valkey.close)
        create_queue(self.postgres.url)
        migrate(self.postgres.url)
        install_trigger(self.postgres.url)
        self._configuration = write_configuration(folder / "configuration")
        self.proxies: dict[str, Proxy] = {}
        self.processes: dict[str, ProcessBox] = {}
        self._down: set[str] = set()  # killed by a fault that will start them again
        self._ended: dict[str, float] = {}  # ended by themselves, and when that was seen
        self._suspended: list[psutil.Process] = []  # agents
        for name, words in COMMANDS.items():
            environment = self._environment(name, stack)
            command = [sys.executable, "-m", *words]
            self.processes[name] = ProcessBox(command, environment, folder / f"{name}.log", name=name)
        stack.callback(self._end)
        for box in self.processes.values():
            box.start()

    def server(self, name: str) -> Embedded:
        """Of this name."""
        return {"postgres": self.postgres, "valkey": self.valkey}[name]

    def connect(self) -> psycopg.Connection[Any]:
        """A connection that no proxy holds up."""
        return psycopg.connect(self.postgres.url, autocommit=True)

    def kill(self, name: str) -> None:
        """SIGKILL to one process, which is left alone until `start`."""
        self._down.add(name)
        self._ended.pop(name, None)
        _kill(self.processes[name])

    def start(self, name: str) -> None:
        """Start it again, unless that has been done."""
        self._down.discard(name)
        if self.processes[name].status != "running":
            self.processes[name].start()

    def go_on(self, name: str) -> None:
        """SIGCONT to one process, if it still runs."""
        if self.processes[name].status == "running":
            self.processes[name].kill("SIGCONT")

    def stop_all(self) -> None:
        """SIGSTOP to everything: processes, agents, then servers."""
        for box in self.processes.values():
            if box.status == "running":
                box.kill("SIGSTOP")
        for agent in agents_of(self.record):
            with suppress(psutil.NoSuchProcess):
                if agent.status() != psutil.STATUS_STOPPED:  # one that people have paused stays so
                    agent.suspend()
                    self._suspended.append(agent)
        self.valkey.stop()
        self.postgres.stop()

    def go_on_all(self) -> None:
        """SIGCONT to everything."""
        self.postgres.go_on()
        self.valkey.go_on()
        for agent in self._suspended:
            with suppress(psutil.NoSuchProcess):
                agent.resume()
        self._suspended.clear()
        for name in self.processes:
            self.go_on(name)

    def set_clock(self, name: str, seconds: float) -> None:
        """Let a process' clock be off by so much."""
        with (self.folder / f"{name}.clock").open(
            "r+b"
        ) as clock:  # the same file: the process has it in its memory
            clock.write(struct.pack("d", seconds))

    def supervise(self) -> list[str]:
        """Start again what ended by itself; says what."""
        said = []
        for name, box in self.processes.items():
            if name in self._down or box.status == "running":
                continue
            if name not in self._ended:
                self._ended[name] = time.monotonic()
                assert box.process is not None
                said.append(f"{name} ended by itself with {box.process.returncode}")
            elif time.monotonic() - self._ended[name] >= RESTART_SECONDS:
                del self._ended[name]
                box.start()
                said.append(f"{name} started again")
        return said

    def missing(self) -> list[str]:
        """What does not work: processes, hosts, consumers."""
        dead = [f"{name} does not run" for name, box in self.processes.items() if box.status != "running"]
        if dead:
            return dead
        with self.connect() as connection:
            bridges = connection.execute("select pid from scheduler_bridge.bridge").fetchall()
            workers = connection.execute("select name, worker from scheduler_bridge.host").fetchall()
            types = connection.execute(
                "select distinct host from scheduler_bridge.host_agent_type"
            ).fetchall()
        open_hosts = {host for (host,) in types}
        now = {name: f".{self.processes[name].pid}" for name in self.processes}
        known = {name for name, worker in workers if name in HOSTS and f"{now[name]}-" in f"{worker}-"}
        pids = {pid for (pid,) in bridges}
        return [
            *(
                f"host {name} has not reported"
                for name in HOSTS
                if name not in known or name not in open_hosts
            ),
            *(
                f"{name} does not listen"
                for name in COMMANDS
                if name.startswith("bridge") and self.processes[name].pid not in pids
            ),
            *self._deaf(),
        ]

    def _deaf(self) -> list[str]:
        with redis.Redis.from_url(self.valkey.url, socket_timeout=2) as client:
            try:
                waiting = int(client.llen(HOUSEKEEPING))
            except redis.RedisError as error:  # its disk may be slow for a moment: whoever asks has patience
                return [f"Valkey does not answer: {error}"]
        return [f"{waiting} messages wait for housekeeping"] if waiting > 2 else []

    def wait_until_ready(self) -> None:
        """Until everything runs and works. ChaosError when it does not come to that."""
        deadline = time.monotonic() + READY_SECONDS
        while missing := self.missing():
            if time.monotonic() > deadline:
                raise ChaosError(f"the fleet is not ready: {', '.join(missing)}")
            self.supervise()
            time.sleep(TICK_SECONDS)

    def _environment(self, name: str, stack: ExitStack) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(OWN_NAMES)}
        (self.folder / f"{name}.clock").write_bytes(struct.pack("d", 0.0))
        return {
            **inherited,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)]),
            "PYTHONPATH": os.pathsep.join([str(CLOCK), str(PROJECT)]),
            "PYTHONUNBUFFERED": "1",
            "CHAOS_CLOCK": str(self.folder / f"{name}.clock"),
            "CHAOS_RECORD": str(self.record),
            "DATABASE_URL": self._through_proxy(name, "postgres", stack),
            "REDIS_URL": self._through_proxy(name, "valkey", stack),
            "SCHEDULER_BRIDGE_CONFIG": str(self._configuration),
            "SCHEDULER_BRIDGE_HOST": name,
            "SCHEDULER_BRIDGE_SLOTS": str(SLOTS),
            "SCHEDULER_BRIDGE_LEASE_SECONDS": str(LEASE_SECONDS),
            "SCHEDULER_BRIDGE_SWEEP_SECONDS": str(SWEEP_SECONDS),
            "SCHEDULER_BRIDGE_STOP_GRACE_SECONDS": "1",
            "SCHEDULER_BRIDGE_STARTUP_TESTS": "off",  # many of the agents are wrong on purpose
            "SCHEDULER_BRIDGE_PORT": "0",
        }

    def _through_proxy(self, name: str, server: str, stack: ExitStack) -> str:
        url = self.server(server).url
        address = urlsplit(url)
        assert address.hostname and address.port
        proxy = self.proxies[f"{name}>{server}"] = Proxy(address.hostname, address.port)
        stack.callback(proxy.close)
        return url.replace(f":{address.port}/", f":{proxy.port}/")

    def _end(self) -> None:
        for proxy in self.proxies.values():
            proxy.thaw()
        for box in self.processes.values():
            _kill(box)
        for process in agents_of(self.record):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def _kill(box: ProcessBox) -> None:
    """SIGKILL to it and its group, unless it has ended."""
    if box.status == "running":
        box.kill()


@contextmanager
def fleet(folder: Path) -> Iterator[Fleet]:
    """A fleet below a fresh folder, ready; nothing of it is left afterwards."""
    with ExitStack() as stack:
        started = Fleet(folder, stack)
        started.wait_until_ready()
        yield started
