"""The report as JSON: everything the Markdown is cut from, uncut."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from workers.agents.judgement import care
from workers.agents.summary import Evidence, PackageSummary, Summary


def document(summary: Summary) -> dict[str, Any]:
    """The whole report as JSON values."""
    facts = summary.facts
    return {
        "stream": facts.stream,
        "inputs": list(facts.inputs),
        "files": facts.files,
        "bytes": facts.bytes,
        "files_with_license": summary.licensed_files,
        "files_with_copyright": summary.copyright_files,
        "agents": facts.agents,
        "results_known_before": facts.cached,
        "licenses": [
            {
                "license": count.license,
                "care": care(count.license).words,
                "files": count.files,
                "packages": count.packages,
                "found_as": dict(count.kinds),
            }
            for count in summary.licenses
        ],
        "only_mentioned": dict(summary.mentioned),
        "packages": [_package(row) for row in summary.packages],
        "outside_packages": _evidence(summary.outside),
        "collections": dict(summary.lists),
        "holders": [asdict(count) for count in summary.holders],
        "mimetypes": dict(facts.mimetypes),
        "notes": [{"agent": agent, "path": path, "note": note} for agent, path, note in facts.notes],
    }


def _package(row: PackageSummary) -> dict[str, Any]:
    declaration = row.package.declaration
    return {
        "name": declaration.name,
        "version": declaration.version,
        "path": row.package.path,
        "declared": declaration.text or None,
        "declared_licenses": sorted(declaration.licenses),
        "found": dict(row.found.most_common()),
        "undeclared": _evidence(row.undeclared),
        "confirmed": not row.unconfirmed,
    }


def _evidence(rows: Iterable[Evidence]) -> list[dict[str, Any]]:
    return [
        {
            "license": row.license,
            "care": row.care.words,
            "files": row.files,
            "example": row.example,
            "line": row.line,
        }
        for row in rows
    ]
