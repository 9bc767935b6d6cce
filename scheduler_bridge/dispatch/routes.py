"""Names of tasks and queues; these strings exist nowhere else."""

from __future__ import annotations

RUN_JOB = "scheduler_bridge.run_job"
LOOK_AGAIN = "scheduler_bridge.look_again"
SWEEP = "scheduler_bridge.sweep"
SEND_MAILS = "scheduler_bridge.send_mails"
AUDIT = "scheduler_bridge.audit"
CANARY = "scheduler_bridge.canary"

HOUSEKEEPING = "housekeeping"
MESSAGE_VERSION = 1  # a worker that does not know a message's version leaves the job to the sweep


def queue_of(agent_type: str, host: str | None = None) -> str:
    """The queue of an agent type, or of an agent type on one host."""
    return f"agent.{agent_type}" if host is None else f"agent.{agent_type}@{host}"


def queues_of_host(host: str, agent_types: list[str]) -> list[str]:
    """Every queue that a host with these agent types consumes."""
    return [queue for name in agent_types for queue in (queue_of(name), queue_of(name, host))]


def canary_queue(worker: str) -> str:
    """The queue in which one worker process sends messages to itself."""
    return f"canary.{worker}"


def shown_arguments(job: int, stream: int) -> str:
    """What people see of a message beside its agent type."""
    return f"(job {job}, stream {stream})"
