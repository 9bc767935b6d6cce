"""A server program on a folder of its own: the folder claimed, the port kept, the process started and ended.

The folder holds `lock`, `password`, `port` and `log`. The server inherits the lock, so the lock lives as long
as any process of it does, whoever started it, and two runs never write to the same data.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from scheduler_bridge.errors import BridgeError
from scheduler_bridge.launch import Identity, launcher

LOCK_WAIT_SECONDS = 5.0  # the servers of a run that was SIGKILLed a moment ago need a while to stop
START_WAIT_SECONDS = 60.0  # includes the recovery after a crash
STOP_WAIT_SECONDS = 20.0
POLL_SECONDS = 0.02
LOOPBACK = "127.0.0.1"


class ServerError(BridgeError):
    """An embedded server cannot be started; the message says why or what to install."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A server's folder, held by this process."""

    folder: Path
    lock: int  # open file; whoever inherits it holds the claim too
    password: str
    port: int


@dataclass(slots=True)
class Server:
    """A running server."""

    name: str
    url: str
    process: subprocess.Popen[bytes]
    launch: Callable[[], subprocess.Popen[bytes]]

    @property
    def ended(self) -> bool:
        """Whether it has stopped without being asked."""
        return self.process.poll() is not None

    def start_again(self) -> None:
        """After it has ended: on the same folder, with port and password as before. Raises OSError.

        Does not wait until it answers. To be called by the main thread (`launch`).
        """
        self.process = self.launch()


@contextmanager
def claimed(folder: Path) -> Iterator[Claim]:
    """Hold `folder`, made where missing. Raises ServerError while another run holds it."""
    folder = folder.resolve()
    with _lock_file(folder) as lock:
        _take(lock.fileno(), folder)
        password = folder / "password"
        if not password.exists() or not password.read_text():
            write_private(password, secrets.token_urlsafe(18))
        with reserved_port(_remembered(folder / "port")) as port:
            (folder / "port").write_text(str(port), "utf-8")
            yield Claim(folder, lock.fileno(), password.read_text(), port)


def _lock_file(folder: Path) -> IO[str]:
    make_private(folder)
    try:
        return (folder / "lock").open("w")
    except OSError as error:
        raise ServerError(f"{folder} cannot be used: {error.strerror}") from error


def _take(lock: int, folder: Path) -> None:
    deadline = time.monotonic() + LOCK_WAIT_SECONDS
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ServerError(in_use(folder)) from None
            time.sleep(POLL_SECONDS)


def make_private(folder: Path) -> None:
    """Make a folder, and those that are missing above it, for its owner alone. Raises ServerError."""
    try:
        missing = [path for path in (folder, *folder.parents) if not path.is_dir()]
        for path in reversed(missing):
            path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:  # often: made by a run of another user
        raise ServerError(f"{folder} cannot be used: {error.strerror}") from error


def in_use(folder: Path) -> str:
    """What to tell whoever wants a folder that another run holds."""
    return (
        f"{folder} is in use by another run: end that one (Ctrl-C where it was started), or give this one a"
        " folder of its own by SCHEDULER_BRIDGE_STATE"
    )


def listens(port: int) -> bool:
    """Whether anybody takes connections at a port of this machine."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def write_private(path: Path, text: str) -> None:
    """A file that only its owner may read."""
    path.touch(mode=0o600)
    path.write_text(text, "utf-8")


@contextmanager
def reserved_port(preferred: int = 0) -> Iterator[int]:
    """The preferred port of loopback if it is free, else another one.

    On Linux the bound socket keeps the port from being given away; a server may still bind it, because both
    set SO_REUSEADDR and only the server listens.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind((LOOPBACK, preferred))
        except OSError:
            holder.bind((LOOPBACK, 0))
        port: int = holder.getsockname()[1]
        if sys.platform != "linux":
            holder.close()
        yield port


def _remembered(path: Path) -> int:
    text = path.read_text("utf-8") if path.exists() else ""
    return int(text) if text.isdigit() else 0


@contextmanager
def running(
    command: Sequence[str],
    claim: Claim,
    url: str,
    answers: Callable[[str], bool],
    *,
    stop: signal.Signals,
    identity: Identity = Identity.SAME,
) -> Iterator[Server]:
    """Start `command` and wait until `answers(url)`; send it `stop` in the end. Raises ServerError."""
    log = claim.folder / "log"

    def launch() -> subprocess.Popen[bytes]:
        if log.exists():
            log.replace(log.with_name("log.before"))
        log.touch(mode=0o600)
        with log.open("wb") as output:
            return subprocess.Popen(
                launcher(command, death_signal=stop, identity=identity),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=plain_environment(),
                pass_fds=[claim.lock],
            )

    server = Server(claim.folder.name, url, launch(), launch)
    try:
        _await_answer(server, answers, log)
        yield server
    finally:
        _end(server.process, stop)


def _await_answer(server: Server, answers: Callable[[str], bool], log: Path) -> None:
    deadline = time.monotonic() + START_WAIT_SECONDS
    while not answers(server.url):
        if server.ended or time.monotonic() > deadline:
            said = log.read_text("utf-8", "replace")[-2000:]
            raise ServerError(f"{server.name} did not start:\n{said}")
        with suppress(subprocess.TimeoutExpired):
            server.process.wait(POLL_SECONDS)


def _end(process: subprocess.Popen[bytes], stop: signal.Signals) -> None:
    process.send_signal(stop)
    try:
        process.wait(STOP_WAIT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def plain_environment() -> dict[str, str]:
    """Ours without what would change a server's behaviour (PGDATA, locales, time zone)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "TZ": "UTC"}
