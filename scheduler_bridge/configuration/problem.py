"""What is wrong with a file or a setting, where, and whether it can be lived with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MOST_SHOWN = 100  # a file that is wrong throughout must not fill the operator's screen


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong; the message never repeats a password."""

    source: str  # the file, or what else was read: "option", "environment"
    line: int  # from 1; 0: the source as a whole
    message: str
    warning: bool = False  # True: the value was understood or is not needed

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}" if self.line else self.source
        return f"{place}: {'warning: ' if self.warning else ''}{self.message}"


def listing(problems: Iterable[Problem]) -> str:
    """One line per problem in the order of the lines of each source, at most MOST_SHOWN of them."""
    ordered = sorted(problems)
    lines = [str(problem) for problem in ordered[:MOST_SHOWN]]
    if len(ordered) > MOST_SHOWN:
        lines.append(f"... and {len(ordered) - MOST_SHOWN} more")
    return "\n".join(lines)


def shown(text: str, width: int = 60) -> str:
    """`text` between quotes for a message, control characters escaped, cut to `width` characters."""
    return repr(text if len(text) <= width else text[: width - 3] + "...")
