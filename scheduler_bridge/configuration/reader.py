"""Typed values out of a configuration file, collecting what is wrong with them."""

from __future__ import annotations

import re
from pathlib import Path

from scheduler_bridge.configuration.grammar import BLANKS, Document, parse
from scheduler_bridge.configuration.problem import Problem, shown

LEADING_INTEGER = re.compile(r"[ \t]*([+-]?[0-9]+)")
MOST_DIGITS = 18  # no value here needs more, and int() refuses some thousands


def read_file(path: Path) -> bytes | Problem | None:
    """The content of a file, None where it is missing, a problem where it cannot be read."""
    try:
        if path.exists() and not path.is_file():
            return Problem(str(path), 0, "is not a file")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return Problem(str(path), 0, f"cannot be read: {error.strerror or error}")


def load(path: Path) -> Document | None:
    """Read one configuration file; one that cannot be read is a document with a problem."""
    content = read_file(path)
    if content is None:
        return None
    if isinstance(content, Problem):
        return Document(str(path), {}, (content,))
    return parse(content, str(path))


def leading_integer(text: str) -> tuple[int | None, bool]:
    """The number `text` starts with, as C's atoi reads it, and whether nothing but blanks follows."""
    found = LEADING_INTEGER.match(text)
    if not found or len(found[1]) > MOST_DIGITS:
        return None, False
    return int(found[1]), not text[found.end() :].strip()


class Reader:
    """Asks a document for values; `problems` starts with the document's own and grows."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = list(document.problems)

    def text(self, group: str, key: str) -> str | None:
        """A text, None where it is missing or empty; a list in its place is refused."""
        entry = self.document.entry(group, key)
        if entry is None:
            return None
        if isinstance(entry.value, tuple):
            self.refuse(entry.line, f"{key} is one value, not a list: write {key} = ...")
            return None
        return entry.value.rstrip(BLANKS) or None

    def required(self, group: str, key: str) -> str | None:
        """A text that must be there; None, with an error noted, where it is not."""
        before = len(self.problems)
        text = self.text(group, key)
        if text is None and len(self.problems) == before:
            self.refuse(self.document.line(group, key), f"{key} is empty")
        return text

    def number(self, group: str, key: str, *, default: int, least: int, most: int) -> int:
        """A whole number within `least` and `most`; `default` where it is missing or wrong."""
        text = self.text(group, key)
        if text is None:
            return default
        number = self.integer(key, text, self.document.line(group, key))
        if number is None:
            return default
        if not least <= number <= most:
            self.refuse(
                self.document.line(group, key), f"{key} is {number}, it must be from {least} to {most}"
            )
            return default
        return number

    def integer(self, name: str, text: str, line: int) -> int | None:
        """The number a text starts with; what follows it is ignored with a warning, as today without."""
        number, complete = leading_integer(text)
        if number is None:
            self.refuse(line, f"{name} must be a whole number, not {shown(text)}")
        elif not complete:
            self.warn(line, f"{name} is read as {number}, the rest of {shown(text)} is ignored")
        return number

    def refuse(self, line: int, message: str) -> None:
        """Note an error."""
        self.problems.append(Problem(self.document.source, line, message))

    def warn(self, line: int, message: str) -> None:
        """Note a warning."""
        self.problems.append(Problem(self.document.source, line, message, warning=True))

    def failed(self) -> bool:
        """Whether an error, not only warnings, was noted."""
        return any(not problem.warning for problem in self.problems)
