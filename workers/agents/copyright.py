"""Who claims copyright in files, and for which years.

python -m workers.agents.copyright FILE_OR_FOLDER... [--json]
"""

from __future__ import annotations

from pathlib import Path

from workers.agents import statements
from workers.agents.results import Columns, Finding, Source
from workers.agents.scanner import Scanner, fingerprint, run

RELEASE = "1.0"


def find(data: bytes) -> list[Finding]:
    """Findings as the columns say."""
    return [(found.holder, found.years, found.text, found.line) for found in statements.statements(data)]


def show(finding: Finding) -> str:
    """One finding for people."""
    holder, years, _, line = finding
    return f"{holder}{f' ({years})' if years else ''}, {f'line {line}' if line else 'binary'}"


SCANNER = Scanner(
    source=Source(
        agent="copyright",
        version=fingerprint(RELEASE, Path(statements.__file__)),
        columns=Columns(
            table="scan_copyright",
            names=("holder", "years", "statement", "line"),
            types=("text", "text", "text", "int"),
        ),
    ),
    release=RELEASE,
    find=lambda data, name: find(data),
    show=show,
)

if __name__ == "__main__":
    run(SCANNER)
