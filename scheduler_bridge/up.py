"""`scheduler-bridge up`: every process of the Procfile on this machine, with servers where none are given."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scheduler_bridge.embedded import Services, services
from scheduler_bridge.errors import BridgeError
from scheduler_bridge.migrate import create_queue, install_trigger, migrate
from scheduler_bridge.output import Console, LogFolder, Output
from scheduler_bridge.procfile import find_procfile, read_procfile
from scheduler_bridge.servers import LOOPBACK, listens
from scheduler_bridge.supervisor import STOP_GRACE_SECONDS, Supervisor

FIRST_PORT = 5555  # Flower's own
PORTS_TRIED = 100
WEB_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class LocalFleet:
    """Everything on this machine, ready to be started."""

    supervisor: Supervisor
    services: Services
    output: Output
    web_port: int

    @property
    def web_address(self) -> str:
        """Where Flower is."""
        return f"http://{LOOPBACK}:{self.web_port}"


@contextmanager
def local_fleet(
    config: Path,
    state: Path,
    environment: Mapping[str, str],
    *,
    logs: Path | None = None,
    grace_seconds: float = STOP_GRACE_SECONDS,
) -> Iterator[LocalFleet]:
    """Servers started, schema there, parts known but not running.

    `config` is the configuration folder, `state` the servers' folder; lines go to the terminal, or to files
    in `logs`. An embedded database also gets the queue's tables and the trigger. A part that has not stopped
    after `grace_seconds` is killed.
    """
    with services(state, environment) as running:
        output: Output = LogFolder(logs) if logs else Console()  # removes logs: only once the state is ours
        prepare_database(running)
        port = int(environment.get("PORT") or 0) or free_port()
        supervisor = Supervisor(
            read_procfile(find_procfile()),
            part_environment(environment, running, config, port),
            output,
            folder=Path(__file__).parents[1],  # Celery looks for `tasks` in it first
            grace_seconds=grace_seconds,
        )
        yield LocalFleet(supervisor, running, output, port)


def up(
    config: Path,
    state: Path,
    environment: Mapping[str, str],
    *,
    grace_seconds: float = STOP_GRACE_SECONDS,
) -> int:
    """Run everything until Ctrl-C or SIGTERM; exit status 0 then. Raises BridgeError when a server ends."""
    fleet_here = local_fleet(config, state, environment, grace_seconds=grace_seconds)
    with fleet_here as fleet, fleet.supervisor as supervisor:
        tell_when_open(fleet.web_port, lambda: fleet.output.say(f"Flower is at {fleet.web_address}"))
        supervisor.run(until=lambda: fleet.services.ended() is not None)
        if not supervisor.interrupted:
            raise BridgeError(f"{fleet.services.ended()} has ended: see the log in {state}")
    return 0


def prepare_database(running: Services) -> None:
    """Bring our schema up to date; in a database of our own also the queue's tables and the trigger."""
    if running.database_is_ours:
        create_queue(running.database_url)
    migrate(running.database_url)
    if running.database_is_ours:
        install_trigger(running.database_url)


def part_environment(
    environment: Mapping[str, str], running: Services, config: Path, port: int
) -> dict[str, str]:
    """What each part finds in its environment; this interpreter's programs come first on its PATH."""
    programs = [str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]
    return {
        "SCHEDULER_BRIDGE_HOST": "localhost",
        **environment,
        **running.environment,
        "SCHEDULER_BRIDGE_CONFIG": str(config.resolve()),
        "PORT": str(port),
        "PYTHONUNBUFFERED": "1",
        "PATH": os.pathsep.join(programs),
    }


def free_port(first: int = FIRST_PORT) -> int:
    """The first port from `first` on that nobody listens on."""
    for port in range(first, first + PORTS_TRIED):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise BridgeError(f"no free port between {first} and {first + PORTS_TRIED - 1}: set PORT")


def tell_when_open(port: int, tell: Callable[[], None]) -> None:
    """Call `tell`, from a thread, as soon as the port takes connections."""

    def knock() -> None:
        pause = threading.Event()
        while not listens(port):
            pause.wait(WEB_POLL_SECONDS)
        tell()

    threading.Thread(target=knock, daemon=True).start()
