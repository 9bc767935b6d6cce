"""PostgreSQL and Valkey as targets: killed, stopped, and there again at the same address."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

import psutil

from scheduler_bridge.servers import Server

END_SECONDS = 60.0


class ChaosError(Exception):
    """The fleet does not come up; nothing can be said about the trial."""


class Embedded:
    """A server that can be killed and started again on the same data and port."""

    def __init__(self, start: Callable[[], Any]) -> None:
        self._start = start
        self._stack = ExitStack()
        self._runs = False
        self.start()
        self.url = self.server.url

    def start(self) -> None:
        """Start it, unless that has been done; its address never changes."""
        if self._runs:
            return
        self.server: Server = self._stack.enter_context(self._start())
        if getattr(self, "url", self.server.url) != self.server.url:
            raise ChaosError(f"{self.server.name} came back at another address")
        self._runs = True

    def family(self) -> list[psutil.Process]:
        """Its processes, the first one first; none while it is down: its number may be somebody else's."""
        if not self._runs:
            return []
        try:
            first = psutil.Process(self.server.process.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def kill(self) -> None:
        """SIGKILL to all of it, and let go of its folder."""
        for process in self.family()[:1]:
            process.suspend()  # it starts nothing more while its family is counted
        family = self.family()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family[1:], timeout=END_SECONDS)
        self._stack.close()
        self._runs = False

    def stop(self) -> None:
        """SIGSTOP to all of it."""
        for process in self.family():
            with suppress(psutil.NoSuchProcess):
                process.suspend()

    def go_on(self) -> None:
        """SIGCONT to all of it."""
        for process in self.family():
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def close(self) -> None:
        """End it in order."""
        self.go_on()
        self._stack.close()
