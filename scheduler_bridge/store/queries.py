"""Reads SQL files of named statements."""

from __future__ import annotations

import re
from pathlib import Path

NAME = re.compile(r"^-- (\w+) --$", re.MULTILINE)


def read_queries(path: Path) -> dict[str, bytes]:
    """Statements of a file by name; the prose line that follows each name stays behind."""
    parts = NAME.split(path.read_text("utf-8"))[1:]
    return {
        name: "\n".join(line for line in body.splitlines() if not line.startswith("--")).strip().encode()
        for name, body in zip(parts[::2], parts[1::2], strict=True)
    }
