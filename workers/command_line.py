"""The words an agent is started with, in the sequence unmodified agents expect."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from scheduler_bridge.model.agents import AgentType
from scheduler_bridge.model.jobs import Work

# One flag for both kinds of quotes, as in today's scheduler: "it's" ends at the apostrophe.
_ARGUMENT = re.compile(r"""(?:[^ "']|["'][^"']*(?:["']|$))+""")
_OF_THE_JOB = ("--jobId=", "--userID=", "--groupID=")


def command_line(agent_type: AgentType, work: Work, config_dir: Path) -> list[str]:
    """Program, configured words, standard options; the job's own arguments last, as agents use getopt."""
    return [
        os.path.join(agent_type.directory, agent_type.command[0]),
        *agent_type.command[1:],
        f"--jobId={work.stream}",
        f"--config={config_dir}",
        f"--userID={work.user}",
        f"--groupID={work.group}",
        "--scheduler_start",
        *split_arguments(work.arguments),
    ]


def nice_of(priority: int) -> int:
    """Nice value of an agent, 0 to 19: a job of lower priority gets less of the processor. Raising needs root."""
    return min(max(-priority, 0), 19)


def split_arguments(arguments: str) -> list[str]:
    """Words of `jq_cmd_args`: split at spaces outside quotes; the quotes stay where they are."""
    return _ARGUMENT.findall(arguments)


def whoever_the_job(argv: Sequence[str]) -> tuple[str, ...]:
    """What two command lines share if an agent started with one can do a job meant for the other."""
    return tuple(word for word in argv if not word.startswith(_OF_THE_JOB))
