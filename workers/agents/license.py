"""Which licences files carry: SPDX tags, licence texts, the sentences that apply one, and mere mentions.

python -m workers.agents.license FILE_OR_FOLDER... [--json]
"""

from __future__ import annotations

from pathlib import Path

from workers.agents.results import Columns, Finding, Source
from workers.agents.scanner import Scanner, fingerprint, run
from workers.agents.spdx import detection

RELEASE = "1.0"
_RULES = Path(detection.__file__).parent


def find(data: bytes) -> list[Finding]:
    """Findings as the columns say."""
    return [
        (found.license, found.kind.name.lower(), found.line, found.score) for found in detection.detect(data)
    ]


def show(finding: Finding) -> str:
    """One finding for people."""
    license_id, kind, line, score = finding
    place = f"line {line}" if line else "binary"
    return f"{license_id} ({kind}, {place})" if score == 100 else f"{license_id} ({kind}, {place}, {score} %)"


SCANNER = Scanner(
    source=Source(
        agent="license",
        version=fingerprint(RELEASE, *_RULES.glob("*.py"), *_RULES.glob("*.toml")),
        columns=Columns(
            table="scan_license",
            names=("license", "kind", "line", "score"),
            types=("text", "text", "int", "int"),
        ),
    ),
    release=RELEASE,
    find=lambda data, name: find(data),
    show=show,
)

if __name__ == "__main__":
    run(SCANNER)
