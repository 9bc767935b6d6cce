"""Fragments become Celery's canvas and go out, each once.

Three shapes and no more: a task, a chain of tasks, a chord of tasks and chains with one plain body. Nothing nests and
no group follows a group: nested chords can stop publisher and worker for good, a group behind a group runs jobs many
times, and a chain's message grows by 352 bytes a remaining link (all measured).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from celery import Signature, chain, chord

from scheduler_bridge.dispatch.application import BridgeCelery
from scheduler_bridge.dispatch.routes import (
    HOUSEKEEPING,
    LOOK_AGAIN,
    MESSAGE_VERSION,
    RUN_JOB,
    queue_of,
    shown_arguments,
)
from scheduler_bridge.dispatch.transport import BROKER_ERRORS
from scheduler_bridge.errors import PublishError
from scheduler_bridge.model.jobs import Job
from scheduler_bridge.plan.fragments import Fan, Fragment, Hint, Line

log = logging.getLogger(__name__)


class Publisher:
    """Publishes fragments on one Celery application; counts what went out, by shape."""

    def __init__(self, app: BridgeCelery) -> None:
        self._app = app
        self.published: Counter[str] = Counter()

    def publish(self, fragments: Sequence[Fragment], jobs: Mapping[int, Job]) -> None:
        """Publish all fragments over `jobs`. PublishError: the broker took some of them at most."""
        try:
            with self._app.one_producer():
                for fragment in fragments:
                    self._canvas(fragment, jobs).apply_async()
                    self.published[type(fragment).__name__] += 1
        except BROKER_ERRORS as error:
            raise PublishError(f"the broker took no message: {error}") from error

    def _canvas(self, fragment: Fragment, jobs: Mapping[int, Job]) -> Signature[Any]:
        match fragment:
            case Hint(job):
                return self._run_job(jobs[job])
            case Line(line):
                return self._line(line, jobs)
            case Fan(lines, stream):
                return chord(
                    [self._line(line, jobs) for line in lines], self._look_again(stream), app=self._app
                )

    def _line(self, line: Sequence[int], jobs: Mapping[int, Job]) -> Signature[Any]:
        tasks = [self._run_job(jobs[job]) for job in line]
        return tasks[0] if len(tasks) == 1 else chain(*tasks, app=self._app)

    def _run_job(self, job: Job) -> Signature[Any]:
        # The name people see carries no number, or metrics would grow a label a job; the arguments do.
        return self._task(
            RUN_JOB,
            job.job,
            queue_of(job.agent_type, job.host),
            job.agent_type,
            shown_arguments(job.job, job.stream),
        )

    def _look_again(self, stream: int) -> Signature[Any]:
        return self._task(LOOK_AGAIN, stream, HOUSEKEEPING, "look_again", f"(stream {stream})")

    def _task(
        self, name: str, subject: int, queue: str, shown_as: str, shown_arguments: str
    ) -> Signature[Any]:
        return Signature(
            name,
            args=(subject, MESSAGE_VERSION),
            immutable=True,
            app=self._app,
            options={
                "queue": queue,
                "ignore_result": True,
                "shadow": shown_as,
                "argsrepr": shown_arguments,
                "kwargsrepr": "{}",
            },
        )
