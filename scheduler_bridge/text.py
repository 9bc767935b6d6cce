"""Text for people: tables, durations, and texts from rows as a terminal may get them."""

from __future__ import annotations

from dataclasses import dataclass

HEAD_BYTES = 4096  # enough to find the place where two parts of an output meet


@dataclass(frozen=True, slots=True)
class Table:
    """Cells for people; numbers stand right."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()  # columns of numbers


def as_text(table: Table) -> str:
    """The table with blanks between the columns, one line a row."""
    rows = [table.headings, *table.rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.headings))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in table.numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def span(seconds: float) -> str:
    """A duration in at most two units."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{max(0.0, seconds):.1f} s" if whole < 10 else f"{whole} s"
    for unit, length, smaller, part in (("d", 86_400, "h", 3600), ("h", 3600, "min", 60)):
        if whole >= length:
            return f"{whole // length} {unit} {whole % length // part} {smaller}"
    return f"{whole // 60} min {whole % 60} s"


def clean(text: str, width: int | None = None) -> str:
    """Text from a row as a terminal may get it: control characters escaped, cut to `width`."""
    shown = "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
    return shown if width is None or len(shown) <= width else shown[: width - 3] + "..."


def continuation(printed: bytes, tail: bytes) -> bytes:
    """What comes after `printed` in `tail`, where each is the last part of one growing output."""
    head = tail[: min(HEAD_BYTES, len(printed))]
    start = printed.find(head)
    while start >= 0 and not tail.startswith(printed[start:]):
        start = printed.find(head, start + 1)
    return tail if start < 0 else tail[len(printed) - start :]
