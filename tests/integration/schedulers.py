"""`fo_scheduler` as a process for tests, and what is seen of it from outside."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from tests.integration.fleet import until
from tests.process_nodes import PROJECT

FO_SCHEDULER = [sys.executable, "-m", "scheduler_bridge", "fossology"]
LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d scheduler \[\d+\] :: (NOTE: |(WARNING|ERROR|FATAL)( \S+\.\d+)?: )"
)
PARTS = {"bridge", "worker", "housekeeping", "beat"}
END_SECONDS = 40.0


class Scheduler:
    """One that was started in the foreground, with its log in a file."""

    def __init__(
        self,
        environment: Mapping[str, str],
        config: Path,
        log: Path,
        *options: str,
        prefix: Sequence[str] = (),
    ) -> None:
        """`prefix` is what comes before the command and becomes it in the end."""
        self.config = config
        self.log = log
        self.process = subprocess.Popen(
            [*prefix, *FO_SCHEDULER, "--config", str(config), "--log", str(log), *options],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def lines(self) -> list[str]:
        """The log so far."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def said(self, text: str, times: int = 1) -> bool:
        """Whether that many lines of the log hold the text."""
        if self.process.poll() is not None:
            raise AssertionError(f"ended with {self.process.returncode}: {self.output()}\n{self.lines}")
        return sum(text in line for line in self.lines) >= times

    def wait_for(self, text: str, times: int = 1) -> None:
        """Until the log says so."""
        until(lambda: self.said(text, times), f"{text!r} in the log", 60)

    def wait_until_up(self) -> None:
        """Until its parts are ready."""
        self.wait_for("bridge ready.")
        self.wait_for("worker: celery@")
        self.wait_for("housekeeping: housekeeping@")
        self.wait_for("beat: Starting")

    def output(self) -> str:
        """What it has written to the terminal."""
        assert self.process.stdout is not None
        return self.process.stdout.read()

    def send(self, number: signal.Signals) -> None:
        """A signal to the scheduler alone."""
        self.process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGQUIT) -> int:
        """Exit status after the signal."""
        self.send(number)
        return self.process.wait(END_SECONDS)

    def family(self) -> list[psutil.Process]:
        """It and all it has started."""
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def part(self, name: str) -> psutil.Process:
        """The main process of a part, once it has one."""

        def find() -> list[psutil.Process]:
            assert self.process.poll() is None, self.output()
            return [child for child in psutil.Process(self.process.pid).children() if name_of(child) == name]

        (found,) = until(find, f"a process of {name}")
        return found

    def close(self) -> None:
        """Whatever has happened: nothing is left."""
        if self.process.poll() is None:
            family = self.family()
            self.process.kill()
            psutil.wait_procs(family, timeout=END_SECONDS)
        self.process.communicate()


def name_of(process: psutil.Process) -> str | None:
    """Which part a process is, as its command line tells."""
    try:
        words = process.cmdline()
    except psutil.NoSuchProcess:
        return None
    return words[3] if words[1:3] == ["-m", "scheduler_bridge.daemon.part"] else None


def gone(processes: list[psutil.Process], seconds: float = 10) -> bool:
    """Whether they all end in time; whoever inherits the dead need not have reaped them."""
    left = psutil.wait_procs(processes, timeout=0)[1]
    until(lambda: all(_dead(process) for process in left), f"the end of {left}", seconds)
    return True


def _dead(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def call(environment: Mapping[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    """Run `fo_scheduler` until it returns."""
    return subprocess.run(
        [*FO_SCHEDULER, *options],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )


def daemons(config: Path) -> list[psutil.Process]:
    """Schedulers of a configuration folder that no test waits for."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if str(config) in words and "fossology" in words and process.ppid() != os.getpid():
            found.append(process)
    return found
