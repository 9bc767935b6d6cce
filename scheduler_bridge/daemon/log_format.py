"""The main log's lines as FOSSology writes them: `TIME scheduler [PID] :: NOTE: text`."""

from __future__ import annotations

import logging
import re
from datetime import datetime

NOTES_ABOVE = 0  # of the verbosity mask
WARNINGS_ABOVE = 1
ALL_LINES = 3  # notes and warnings
_LINE = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8} scheduler \[[0-9]+\] :: ([A-Z]+)")
_WORDS = {logging.WARNING: "WARNING", logging.ERROR: "ERROR", logging.CRITICAL: "FATAL"}


def log_line(at: datetime, pid: int, text: str, word: str = "NOTE:") -> str:
    """One line, without its end."""
    return f"{at:%Y-%m-%d %H:%M:%S} scheduler [{pid}] :: {word} {text}"


def word_of(line: bytes) -> str | None:
    """How bad a line says that it is: NOTE, WARNING, ERROR or FATAL; None for one of another form."""
    found = _LINE.match(line)
    return found[1].decode() if found else None


def shown(word: str, verbosity: int) -> bool:
    """Whether lines of that word are written at that verbosity; errors always are."""
    if word == "NOTE":
        return verbosity > NOTES_ABOVE
    return word != "WARNING" or verbosity > WARNINGS_ABOVE


class LogFormat(logging.Formatter):
    """Records of a part in that form; each line of a longer text, such as a traceback, is one of its own."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self._part = part

    def format(self, record: logging.LogRecord) -> str:
        """One or more lines."""
        at = datetime.fromtimestamp(record.created).astimezone()
        word = _WORDS.get(record.levelno - record.levelno % 10)
        place = f"{word} {record.filename}.{record.lineno}:" if word else "NOTE:"
        lines = super().format(record).splitlines() or [""]
        return "\n".join(log_line(at, record.process or 0, f"{self._part}: {line}", place) for line in lines)
