"""What the agents of a host are started with; replaced as a whole when the configuration is read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scheduler_bridge.model.agents import AgentType
from scheduler_bridge.model.jobs import Work
from workers.job_log import JobLog, JobLogs
from workers.startup_test import StartupTest
from workers.timing import Timers


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the configuration folder and this machine say."""

    agent_types: Mapping[str, AgentType]
    configuration_folder: Path
    timers: Timers
    environment: Mapping[str, str] | None = None  # None: this process' own
    logs: JobLogs | None = None  # of the jobs, in a repository; None: there is none
    startup_tests: bool = False  # before an agent type is offered
    fork_backoff_seconds: float = 5.0  # the longest wait until a start is tried again that had no room

    def test_of(self, agent_type: AgentType) -> StartupTest:
        """The start of an agent of that type without a job."""
        return StartupTest(agent_type, self.configuration_folder, self.timers, self.environment)

    def log_of(self, work: Work, pid: int) -> JobLog | None:
        """Where the job is logged; None: there is no repository."""
        return self.logs.of(work.job, work.agent_type, pid) if self.logs else None
