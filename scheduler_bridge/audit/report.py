"""What an audit has found, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from scheduler_bridge.audit.auditor import MOST_IDS, Audit, Finding, Kept
from scheduler_bridge.audit.checks import CHECKS
from scheduler_bridge.text import clean, span

LATE_SECONDS = 900.0  # three audits of beat are missing


def audit_lines(found: Audit) -> list[str]:
    """An audit for people, a line a finding."""
    lines = [finding_line(finding) for finding in found.findings]
    if not lines:
        lines = [f"clean: {len(CHECKS)} questions, no finding"]
    if found.new_suspects:
        lines.append(f"too new to judge: {found.new_suspects}; ask again in two minutes")
    return lines


def finding_line(finding: Finding) -> str:
    """A finding in one line."""
    ids = clean(", ".join(map(str, finding.ids)))
    more = (
        f" and {_counted(finding.count - len(finding.ids), finding)} more"
        if finding.count > len(finding.ids)
        else ""
    )
    return f"{finding.name}: {finding.sentence}: {ids}{more}"


def kept_line(last: Kept) -> str:
    """The last audit of housekeeping in one line."""
    ago = span((last.read_at - last.at).total_seconds())
    if not last.findings:
        return f"audit: clean, {ago} ago{_late(last)}"
    named = ", ".join(f"{f.name} ({_counted(f.count, f)})" for f in last.findings)
    plural = "s" if len(last.findings) > 1 else ""
    return f"audit: {len(last.findings)} finding{plural}: {named}, {ago} ago{_late(last)}"


def audit_json(found: Audit) -> dict[str, Any]:
    """An audit as documented in docs/cli.md."""
    return {**_json(found.at, found.findings), "new_suspects": found.new_suspects}


def kept_json(last: Kept | None) -> dict[str, Any] | None:
    """The last audit of housekeeping as documented in docs/cli.md."""
    return _json(last.at, last.findings) if last else None


def _json(at: datetime, findings: Iterable[Finding]) -> dict[str, Any]:
    return {
        "at": at.isoformat(),
        "findings": [
            {"name": f.name, "sentence": f.sentence, "count": f.count, "ids": list(f.ids)} for f in findings
        ],
    }


def _counted(count: int, finding: Finding) -> str:
    return f"{count}{'+' if finding.count >= MOST_IDS else ''}"


def _late(last: Kept) -> str:
    late = (last.read_at - last.at).total_seconds() > LATE_SECONDS
    return ": does beat run?" if late else ""
