"""pytest-celery's nodes as processes of this machine: no container engine is needed.

A node asks its "container" for little: status, logs, ready, kill, restart, reload, teardown, celeryconfig, id
and name. `ProcessBox` answers for any program, `WorkerBox` for a Celery worker of this project.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import celery
import redis
from celery.app.utils import find_app
from pytest_celery import CeleryTestSetup

from scheduler_bridge.launch import launcher

PROJECT = Path(__file__).parents[1]
STOP_SECONDS = 30.0
POLL_SECONDS = 0.02


class ProcessBox:
    """A program in a process group of its own, with its output in a file."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        *,
        name: str,
        ready_text: str = "",
        folder: Path = PROJECT,
    ) -> None:
        self.command = list(command)
        self.environment = dict(environment)
        self.log = log
        self.name = name
        self.id = uuid.uuid4().hex
        self.ready_text = ready_text
        self.folder = folder  # its working directory
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def status(self) -> str:
        """`running` or `exited`, as a container engine says it."""
        return "running" if self.process is not None and self.process.poll() is None else "exited"

    @property
    def pid(self) -> int:
        """Process id, also of its group."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> ProcessBox:
        """Start without waiting; `ready` waits. It ends with the thread that calls this."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                launcher(self.command, death_signal=signal.SIGTERM),
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        return self

    def logs(self) -> str:
        """What the program has written since its last start."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def ready(self, timeout: float = 60) -> bool:
        """Wait until the ready text is in the log; RuntimeError with the log's end when it does not come."""
        end = time.monotonic() + timeout
        while self.ready_text not in self.logs():
            if self.status != "running" or time.monotonic() > end:
                raise RuntimeError(f"{self.name} is not ready\n{self.logs()[-3000:]}")
            time.sleep(POLL_SECONDS)
        return True

    def wait(self, timeout: float = STOP_SECONDS) -> int:
        """Exit status; negative when a signal ended it."""
        assert self.process is not None
        return self.process.wait(timeout)

    def kill(self, signal: str | int = "SIGKILL") -> None:
        """SIGKILL goes to the whole group and is waited for, any other signal to the main process."""
        number = _number(signal)
        if number == _number("SIGKILL"):
            os.kill(self.pid, number)
            with suppress(ProcessLookupError):  # it has no group in the first moment of its life
                os.killpg(self.pid, number)
            self.wait()
        else:
            os.kill(self.pid, number)

    def restart(self, timeout: float = 60) -> None:
        """Stop, forget the log, start, wait until ready."""
        self.teardown()
        self.log.write_text("")
        self.start()
        self.ready(timeout)

    def reload(self) -> None:
        """A container's cached attributes; there are none here."""

    def teardown(self) -> None:
        """SIGTERM, and SIGKILL to the group when that did not end it."""
        if self.status != "running":
            return
        self.kill("SIGTERM")
        try:
            self.wait()
        except subprocess.TimeoutExpired:
            self.kill()


class WorkerBox(ProcessBox):
    """`celery -A tasks worker` as one host of the fleet."""

    def __init__(
        self,
        environment: Mapping[str, str],
        log: Path,
        *,
        name: str = "w1",
        slots: int = 2,
        queues: str | None = None,
    ) -> None:
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "tasks",
            "worker",
            "--loglevel=INFO",
            "-n",
            f"{name}@%h",
        ]
        command += [
            "-c",
            str(slots),
            "--without-gossip",
            "--without-mingle",
            *(["-Q", queues] if queues else []),
        ]
        host = {"SCHEDULER_BRIDGE_HOST": name, "SCHEDULER_BRIDGE_SLOTS": str(slots)}
        super().__init__(command, {**host, **environment}, log, name=name, ready_text=" ready.")
        self.queue = queues or "celery"

    def version(self) -> str:
        """Celery's."""
        return celery.__version__

    def worker_name(self) -> str:
        """Part of the node name before the @."""
        return self.name

    def worker_queue(self) -> str:
        """Where pytest-celery would send its own ping task."""
        return self.queue

    def log_level(self) -> str:
        """Of the worker."""
        return "INFO"


class BrokerBox:
    """The session's Valkey, which outlives every test: nothing here starts or stops it."""

    status = "running"
    name = "valkey"

    def __init__(self, url: str) -> None:
        self.id = uuid.uuid4().hex
        self.celeryconfig = {"url": url, "host_url": url}

    def ready(self) -> bool:
        """Whether it answers."""
        with redis.Redis.from_url(self.celeryconfig["url"]) as client:
            return bool(client.ping())

    def logs(self) -> str:
        """Its log is the session's, not a test's."""
        return ""

    def reload(self) -> None:
        """Nothing is cached."""

    def teardown(self) -> None:
        """The session's fixture stops it."""


class BridgeSetup(CeleryTestSetup):  # type: ignore[misc]  # untyped package
    """A set-up with the project's own app and tasks instead of an empty one."""

    @classmethod
    def create_setup_app(
        cls, celery_setup_config: dict[str, Any], celery_setup_app_name: str
    ) -> celery.Celery:
        """The app that `celery -A tasks` finds, on the test's broker."""
        app: celery.Celery = find_app("tasks")
        app.conf.update(celery_setup_config)
        app.set_current()
        return app


def _number(name: str | int) -> int:
    return signal.Signals[name] if isinstance(name, str) else name
