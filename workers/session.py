"""One job on one agent: a loop around the conversation, and the face it shows to other threads.

Everything happens in the calling thread, which waits for output, room for input, the process's end and orders
at once. What is heard comes before what is ordered, and that before the timers, so that a job which has been
completed is never called anything else. The rules are in `conduct`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from scheduler_bridge.model.jobs import Outcome, Work
from workers.agent import Agent
from workers.channel import Channel
from workers.conduct import Conduct
from workers.job_log import JobLog
from workers.orders import Inbox, Order
from workers.protocol import NEED_DATA
from workers.timing import Timers


class Session:
    """Runs one attempt at one job. `run` is called once; all else from any thread, at any time."""

    def __init__(
        self,
        agent: Agent,
        work: Work,
        *,
        timers: Timers,
        started: Callable[[int], bool],
        log: JobLog | None = None,
    ) -> None:
        """`started` is called with the process's number when the agent is ready, before it is given the data;
        it answers False if the claim is gone. `log` is closed when the session has ended."""
        self.log = log
        self._agent = agent
        self._inbox = Inbox()
        self._channel = Channel(agent.process)
        self._conduct = Conduct(agent, self._channel, work, timers=timers, started=started, log=log)

    @property
    def items(self) -> int:
        """How many items the agent says it has done."""
        return self._conduct.report.items

    @property
    def paused(self) -> bool:
        """Its agent's group has been stopped in its tracks."""
        return self._conduct.timing.paused

    @property
    def email(self) -> str | None:
        """What the agent wants to be said in the job's mail."""
        return self._conduct.report.email

    @property
    def version(self) -> str | None:
        """The version of a today's agent, once it has said it."""
        return self._conduct.report.version

    @property
    def output_version(self) -> int:
        """Grows whenever there is more output."""
        return self._conduct.report.output.version

    def output(self) -> bytes:
        """The last 256 KiB of what the agent has printed and of our notes about it: UTF-8, whole lines."""
        return self._conduct.report.output.last()

    def order(self, order: Order) -> None:
        """Tell the session something; it obeys within milliseconds unless it has ended."""
        self._inbox.put(order)

    def run(self) -> Outcome:
        """From the agent's start, or from a warm agent's READY, to the outcome.

        Returns once outcome and count are settled and leaves the process to its owner, `AgentPool.release`:
        the row can be written while the agent ends. Only RETURNED waits for that end, because somebody else
        may start the job from then on. An exception of `started` kills the agent and is raised again.
        """
        conduct = self._conduct
        try:
            self._channel.wake_by(self._inbox.open())
            if self._inbox.waiting:
                self._obey()
            conduct.begin()
            while conduct.outcome is None:
                self._turn()
            return conduct.outcome
        except BaseException:
            self._agent.kill()
            raise
        finally:
            self._inbox.close()
            if self.log:
                self.log.close()

    def _turn(self) -> None:
        conduct = self._conduct
        began = time.monotonic()
        longest = conduct.timing.longest_wait(began)
        arrival = self._channel.wait(longest)
        conduct.timing.has_waited(time.monotonic() - began, longest)
        if arrival.data:
            self._hear(arrival.data)
        if arrival.end_of_output:
            self._hear_the_rest()
            if conduct.outcome is None:
                conduct.output_ended()
        if arrival.exited:
            for data in self._channel.rest():
                self._hear(data)
            self._hear_the_rest()
            conduct.exited()
        if arrival.woken:
            self._obey()
        if conduct.outcome is None:
            conduct.look_at_timers(time.monotonic())

    def _hear(self, data: bytes) -> None:
        if self._conduct.outcome is not None:
            return
        self._conduct.timing.watch.heard(time.monotonic())
        self._agent.conversation.receive(data)
        self._take_messages()

    def _hear_the_rest(self) -> None:
        """A last line without its end is a line too."""
        self._agent.conversation.end_of_input()
        self._take_messages()

    def _take_messages(self) -> None:
        conduct = self._conduct
        conversation = self._agent.conversation
        taken = 0
        while conduct.outcome is None and (message := conversation.next_message()) is not NEED_DATA:
            conduct.hear(message, conversation.heard)
            taken += 1
        self._channel.charge(taken)

    def _obey(self) -> None:
        for order in self._inbox.take():
            if self._conduct.outcome is None:
                self._conduct.obey(order)
