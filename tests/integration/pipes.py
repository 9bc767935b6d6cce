"""A scheduler in miniature: starts an agent, says the usual lines over real pipes, hears the answers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SECONDS = 60  # for one agent; a hanging one fails its test


@dataclass(frozen=True, slots=True)
class Talk:
    """What an agent said, and how it ended."""

    lines: tuple[str, ...]
    code: int

    @property
    def items(self) -> int:
        """The final count."""
        return int([line for line in self.lines if line.startswith("HEART: ")][-1].split()[1])

    def said(self, text: str) -> bool:
        return any(text in line for line in self.lines)


def shipped(name: str) -> list[str]:
    """The command of a shipped agent."""
    return [sys.executable, "-m", f"workers.agents.{name}"]


def start(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    *,
    stream: int = 0,
    arguments: Sequence[str] = (),
    folder: Path | None = None,
) -> subprocess.Popen[bytes]:
    """The agent's process as a worker starts it."""
    usual = [f"--jobId={stream}", "--config=/nowhere", "--userID=2", "--groupID=3", "--scheduler_start"]
    return subprocess.Popen(
        [*command, *usual, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env={**os.environ, "SCHEDULER_BRIDGE_PYTHON": sys.executable, **environment},
    )


def finish(process: subprocess.Popen[bytes], data: str | None) -> Talk:
    """Give the data, unless it is None, and close."""
    lines = "CLOSE\n" if data is None else f"{data}\nEND\nCLOSE\n"
    output, _ = process.communicate(os.fsencode(lines), SECONDS)
    return Talk(tuple(output.decode("utf-8", "replace").splitlines()), process.returncode)
