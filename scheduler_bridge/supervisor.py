"""Keep the Procfile's parts running; end them in order.

Signals are only recorded; one loop owns the parts. A part that ends is started again after a growing delay.
At the end those that make work stop first, then those that do it, then the page that shows it: each gets
SIGTERM alone, so that it may end what it started, and its whole group SIGKILL when the grace is over. Parts
have the death signal of `launch`, so a SIGKILL of the supervisor leaves none of them behind on Linux.

Agents outlive a worker that is killed, in groups and sessions of their own. On Linux they then become our
children, and those that carry the mark of a worker of ours (`orphans`) are killed as soon as it has ended. Nobody
else's are touched.

Everything here belongs to the main thread: Python's signal handlers run there, and the death signal would
come at the end of any other.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from scheduler_bridge.orphans import adopt_orphans, children, has_ended, kill_orphans, reap_adopted
from scheduler_bridge.output import Output
from scheduler_bridge.part_process import PartProcess
from scheduler_bridge.procfile import Part
from scheduler_bridge.signals import Signals

STOP_GRACE_SECONDS = 30.0
SHORT_GRACE_SECONDS = 2.0  # after a second Ctrl-C
ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Answer = Callable[[], bool]  # what a signal means; whether it asks for the end, or to hurry
STOP_ORDER = (("bridge", "beat"), (), ("web",))  # the empty place: every part that is not named


class Supervisor:
    """Runs `parts`; a context manager whose end stops them.

    Each gets `environment` and works in `folder`. `grace_seconds` is how long one may take to stop. `answers` tell
    what signals mean that do not simply ask for the end; they are called by the loop, in the main thread.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        environment: Mapping[str, str],
        output: Output,
        *,
        folder: Path,
        grace_seconds: float = STOP_GRACE_SECONDS,
        answers: Mapping[signal.Signals, Answer] | None = None,
    ) -> None:
        self.interrupted = False  # a signal asked for the end
        self._answers = dict(answers or {})
        self._processes = [PartProcess(part) for part in parts]
        self._environment = environment
        self._output = output
        self._folder = folder
        self._grace_seconds = grace_seconds
        self._signals = Signals()
        self._others: set[int] = set()  # children that are not ours to reap, such as embedded servers
        self._look_after: float | None = None  # seconds; for the next wait only

    def __enter__(self) -> Supervisor:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start all parts and take over SIGINT, SIGTERM, SIGHUP and SIGCHLD until `stop` has returned."""
        handled = {signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, *self._answers}
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup leaves it
            handled.add(signal.SIGHUP)
        self._signals.heed(handled)
        self._others = set(children())
        adopt_orphans(True)
        self._start_due()

    def run(self, until: Callable[[], bool] | None = None, *, every_seconds: float | None = None) -> None:
        """Keep the parts running until a signal asks for the end or `until()` is true.

        `until` is called after every event and, where given, at least every `every_seconds`.
        """
        while not self.interrupted and not (until and until()):
            self._take_signals(self._until_next_start(every_seconds))
            self._note_ended()
            if not self.interrupted:
                self._start_due()

    def spare(self, pid: int) -> None:
        """A child that was started meanwhile and is not ours to reap."""
        self._others.add(pid)

    def look_after(self, seconds: float) -> None:
        """For `until`: to be called again after that time at the latest."""
        self._look_after = seconds

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a part, if it runs."""
        for process in self._named(name):
            process.send(number)

    def end(self, name: str, number: signal.Signals) -> None:
        """Tell a part by this signal, now, what `stop` would tell it by SIGTERM."""
        for process in self._named(name):
            process.retired = process.ending = True
            process.send(number)

    def retire(self, name: str) -> None:
        """Do not start a part again once it has ended."""
        for process in self._named(name):
            process.retired = True

    def runs(self, name: str) -> bool:
        """Whether a part has a process."""
        return any(process.child is not None for process in self._named(name))

    def ends(self, name: str) -> int:
        """How often a part has ended."""
        return sum(process.ends for process in self._named(name))

    def limit_grace(self, seconds: float) -> None:
        """Leave parts no longer than that to stop."""
        self._grace_seconds = min(self._grace_seconds, seconds)

    def stop(self) -> None:
        """End all parts in order, then give the signals back. A second SIGINT shortens the grace."""
        named = {name for names in STOP_ORDER for name in names}
        unnamed = [process for process in self._processes if process.part.name not in named]
        try:
            for names in STOP_ORDER:
                self._stop([found for name in names for found in self._named(name)] if names else unnamed)
        finally:
            for process in self._processes:
                process.kill()
            self._clear_up()
            adopt_orphans(False)
            self._output.finish()
            self._signals.give_back()

    def _named(self, name: str) -> list[PartProcess]:
        return [process for process in self._processes if process.part.name == name]

    def _take_signals(self, timeout: float | None) -> bool:
        """Wait for a signal, then take all there are; whether one of them asks for the end."""
        asked = any(list(map(self._asks, self._signals.take(timeout))))  # each is answered
        self.interrupted = self.interrupted or asked
        return asked

    def _asks(self, number: int) -> bool:
        answer = self._answers.get(signal.Signals(number))
        return answer() if answer else number in ASKING

    def _until_next_start(self, every_seconds: float | None) -> float | None:
        now = time.monotonic()
        waits = [max(0.0, process.start_at - now) for process in self._processes if process.to_start]
        asked, self._look_after = [every_seconds, self._look_after], None
        return min([*waits, *(seconds for seconds in asked if seconds is not None)], default=None)

    def _start_due(self) -> None:
        now = time.monotonic()
        for process in self._processes:
            if process.to_start and process.start_at <= now:
                process.start(self._environment, self._folder, self._output)

    def _note_ended(self) -> None:
        for process in self._processes:
            status = process.reap()
            if status is not None:
                delay = process.backoff.delay_seconds
                again = "" if process.retired else f", starts again in {delay:.0f} s"
                self._output.say(f"{process.part.name} {_ending(status)}{again}")
                self._clear_up()
        reap_adopted(self._others | {process.child.pid for process in self._processes if process.child})

    def _clear_up(self) -> None:
        """Kill what ended parts have left running outside their groups."""
        ended = {life for process in self._processes for life in process.lives if has_ended(life)}
        for orphan in kill_orphans(lambda mark: mark.worker in ended):
            self._output.say(f"killed {orphan}, which has ended")

    def _stop(self, processes: Sequence[PartProcess]) -> None:
        alive = [process for process in processes if process.child is not None]
        for process in alive:
            if not process.ending:
                process.send(signal.SIGTERM)
        deadline = time.monotonic() + self._grace_seconds
        while alive := self._still_alive(alive):
            left = deadline - time.monotonic()
            if left <= 0:
                self._kill(alive)
                return
            if self._take_signals(left) and self._grace_seconds > SHORT_GRACE_SECONDS:
                self._grace_seconds = SHORT_GRACE_SECONDS
                deadline = min(deadline, time.monotonic() + SHORT_GRACE_SECONDS)

    def _still_alive(self, processes: Sequence[PartProcess]) -> list[PartProcess]:
        for process in processes:
            status = process.reap()
            if status is not None:
                self._output.say(f"{process.part.name} {_ending(status)}")
        return [process for process in processes if process.child is not None]

    def _kill(self, processes: Sequence[PartProcess]) -> None:
        for process in processes:
            self._output.say(f"{process.part.name} did not stop in time: killed")
            process.kill()


def _ending(status: int) -> str:
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
