"""Faults carried out on the fleet."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import psutil
import redis

from tests.chaos.absence import Absence, Absences
from tests.chaos.faults import AGENT, FLEET, MACHINE, PROCESSES, SERVERS, WORKER_OF_AGENT, Deed, Fault
from tests.chaos.fleet import HOSTS, Fleet
from tests.chaos.records import Records, Run

FLUSH_SECONDS = 1.0


class Strikes:
    """What has been done, to undo it and to judge by."""

    def __init__(self, fleet: Fleet, records: Records) -> None:
        self._fleet = fleet
        self._records = records
        self._under_way: dict[Fault, float] = {}  # since when; wall clock
        self._cut_off: list[Absence] = []
        self.struck: dict[int, Deed] = {}  # agents by number
        self.absences = Absences()
        self._agents: dict[Fault, int] = {}
        self._workers: dict[Fault, str] = {}  # of agents
        self.clocks: set[str] = set()

    @property
    def database_is_up(self) -> bool:
        """It answers."""
        return not any(fault.target in ("postgres", MACHINE) for fault in self._under_way)

    @property
    def cut_off(self) -> tuple[Absence, ...]:
        """Whose workers may not have heard the database, from when to when; not those faults that last."""
        return tuple(self._cut_off)

    def begin(self, fault: Fault) -> str:
        """Do it; what was done."""
        self._under_way[fault] = time.time()
        if fault.target == AGENT:
            return self._strike_agent(fault)
        if fault.target == WORKER_OF_AGENT:
            return self._strike_worker_of_agent(fault)
        if fault.target in SERVERS:
            self._strike_server(fault)
        elif ">" in fault.target:
            self._strike_link(fault)
        elif fault.target == MACHINE:
            for host in HOSTS:
                self.absences.stop(host)
            self._fleet.stop_all()
        else:
            for name in self._struck_by(fault):
                self._strike_process(name, fault.deed)
        return str(fault)

    def end(self, fault: Fault) -> str:
        """Undo it; what was done."""
        since = self._under_way.pop(fault)
        if fault.target == AGENT:
            self._continue_agent(fault)
        elif fault.target in SERVERS:
            self._restore_server(fault)
        elif fault.target == MACHINE:
            self._fleet.go_on_all()
            for host in HOSTS:
                self.absences.go_on(host)
        elif fault.deed in (Deed.CUT, Deed.FREEZE):
            self._fleet.proxies[fault.target].thaw()
        elif fault.deed is Deed.KILL:
            for name in self._struck_by(fault):
                self._fleet.start(name)
        elif fault.deed is Deed.STOP:
            for name in self._struck_by(fault):
                self._fleet.go_on(name)
                self.absences.go_on(name)
        self._cut_off += [Absence(host, since, time.time()) for host in self._hosts_of(fault)]
        return f"{fault.target}: {fault.deed.value} is over"

    def set_clocks_right(self) -> None:
        """At the trial's end; by new processes, since setting a clock back would be one more fault."""
        for name in self.clocks:
            self._fleet.kill(name)
            self._fleet.set_clock(name, 0.0)
            self._fleet.start(name)
        self.clocks.clear()

    def _strike_server(self, fault: Fault) -> None:
        server = self._fleet.server(fault.target)
        if fault.deed is Deed.FLUSH:
            with (
                suppress(redis.RedisError),
                redis.Redis.from_url(server.url, socket_timeout=FLUSH_SECONDS) as client,
            ):
                client.flushall()
            return
        if fault.deed is Deed.KILL:
            server.kill()
        else:
            server.stop()

    def _restore_server(self, fault: Fault) -> None:
        server = self._fleet.server(fault.target)
        if fault.deed is Deed.KILL:
            server.start()
        elif fault.deed is Deed.STOP:
            server.go_on()

    def _strike_link(self, fault: Fault) -> None:
        name = fault.target.partition(">")[0]
        if fault.deed is Deed.JUMP:
            self.clocks.add(name)
            self._fleet.set_clock(name, fault.number)
        elif fault.deed is Deed.CUT:
            self._fleet.proxies[fault.target].cut()
        else:
            self._fleet.proxies[fault.target].freeze()

    def _strike_process(self, name: str, deed: Deed) -> None:
        if deed is Deed.KILL:
            if name in HOSTS:
                self.absences.kill(name)
            self._fleet.kill(name)
        elif self._fleet.processes[name].status == "running":
            if name in HOSTS:
                self.absences.stop(name)
            self._fleet.processes[name].kill("SIGSTOP")

    def _strike_agent(self, fault: Fault) -> str:
        run = self._an_agent(fault.number, lambda run: run.pid not in self.struck)
        if run is None:
            return "no agent was under way"
        self.struck[run.pid] = fault.deed
        self._agents[fault] = run.pid
        number = signal.SIGKILL if fault.deed is Deed.KILL else signal.SIGSTOP
        with suppress(ProcessLookupError):
            os.killpg(run.pid, number)
        return f"agent {run.pid} of {run.key}: {fault.deed.value}"

    def _strike_worker_of_agent(self, fault: Fault) -> str:
        run = self._an_agent(fault.number / 2, lambda run: self._worker_of(run) is not None)
        name = self._worker_of(run) if run else None
        if run is None or name is None:
            return "no worker had an agent under way"
        self._workers[fault] = name
        self._strike_process(name, fault.deed)
        return f"{name}, which works on {run.key}: {fault.deed.value}"

    def _worker_of(self, run: Run) -> str | None:
        """The host whose worker is the parent of the agent; None for an orphan."""
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(run.pid).ppid()
            return next((host for host in HOSTS if self._fleet.processes[host].pid == parent), None)
        return None

    def _struck_by(self, fault: Fault) -> tuple[str, ...]:
        """The processes that a fault strikes."""
        if fault.target == WORKER_OF_AGENT:
            return tuple({self._workers[fault]} if fault in self._workers else ())
        return PROCESSES if fault.target == FLEET else (fault.target,)

    def _hosts_of(self, fault: Fault) -> tuple[str, ...]:
        """Whose workers do not hear the database meanwhile."""
        if fault.target in ("postgres", MACHINE, FLEET):
            return HOSTS
        names = (*self._struck_by(fault), fault.target.partition(">")[0])
        return tuple(host for host in HOSTS if host in names)

    def _an_agent(self, number: float, wanted: Callable[[Run], bool]) -> Run | None:
        """One of those under way that are wanted, for 0 the one that ends last; None when there is none for a while."""
        deadline = time.monotonic() + FLUSH_SECONDS
        while time.monotonic() < deadline:
            self._records.look()
            found = [run for run in self._records.under_way() if wanted(run)]
            if found:
                found.sort(key=lambda run: run.due_at, reverse=True)
                return found[int(number * len(found))]
            time.sleep(0.01)
        return None

    def _continue_agent(self, fault: Fault) -> None:
        pid = self._agents.get(fault)
        if pid is not None and fault.deed is Deed.STOP:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGCONT)
