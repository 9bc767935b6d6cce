"""An agent that looks into files: everything that mimetype, license and copyright have in common.

Under the scheduler it goes once through the stream's files, reads only content that no agent of its version
has seen before, and then publishes all findings at once. By hand it prints what it finds below the paths it
is given.
"""

# Names are many here and need not be text: os.path takes what the system gives.
# ruff: noqa: PTH110, PTH112, PTH119

from __future__ import annotations

import argparse
import hashlib
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from workers.agents.helper import AgentError, Task, main, plain
from workers.agents.results import Finding, Known, Source, Totals, page, publish, remember, storable
from workers.agents.tree import Tree, Unreadable, content

PAGE_FILES = 2000  # files between two steps that outlive the agent: what is remembered is not scanned again
SCAN_BYTES = 64 << 20  # of one file are looked at


@dataclass(frozen=True, slots=True)
class Scanner:
    """What makes one such agent."""

    source: Source
    release: str  # told to the scheduler
    find: Callable[[bytes, str], list[Finding]]  # content and name -> findings
    show: Callable[[Finding], str]  # one finding for people
    limit: int = SCAN_BYTES


@dataclass(slots=True)
class _Progress:
    files: int = 0
    cached: int = 0
    notes: list[tuple[str, str]] = field(default_factory=list)
    unreadable: int = 0


def fingerprint(release: str, *files: Path) -> str:
    """`release` with a digest of what decides the findings: whoever changes a table scans anew."""
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.read_bytes())
    return f"{release}+{digest.hexdigest()[:12]}"


def run(scanner: Scanner) -> NoReturn:
    """The program."""
    main(
        scanner.source.agent,
        scanner.release,
        lambda task: scan(scanner, task),
        alone=lambda arguments: by_hand(scanner, arguments),
    )


def scan(scanner: Scanner, task: Task) -> None:
    """One pass over the files of the task's stream."""
    progress = _Progress()
    after = 0
    while files := page(task.connection, scanner.source, task.stream, after, PAGE_FILES):
        found = list(_findings(scanner, task, files, progress))
        if found:
            remember(task.connection, scanner.source, found)
        after = files[-1].file
    task.debug(f"{progress.files} files, {progress.cached} known")
    totals = Totals(progress.files, progress.cached, progress.unreadable)
    publish(task, scanner.source, totals, progress.notes)
    task.heart(progress.files)


def _findings(
    scanner: Scanner, task: Task, files: Sequence[Known], progress: _Progress
) -> Iterator[tuple[Known, list[Finding]]]:
    done: set[tuple[bytes, str]] = set()
    for known in files:
        progress.files += 1
        if known.cached or (known.sha256, known.variant) in done:
            progress.cached += 1
            continue
        task.heart(progress.files)
        try:
            data = content(known.place, scanner.limit, known.modified_ns)
        except Unreadable as error:
            progress.unreadable += 1
            progress.notes.append((known.path, str(error)))
            continue
        if len(data) == scanner.limit == SCAN_BYTES:
            progress.notes.append((known.path, f"only its first {SCAN_BYTES >> 20} MiB were scanned"))
        done.add((known.sha256, known.variant))
        yield known, scanner.find(data, os.path.basename(known.path))


def by_hand(scanner: Scanner, arguments: list[str]) -> int:
    """Print the findings below the paths; 0 when there were any, 1 when there were none."""
    parser = argparse.ArgumentParser(prog=f"python -m workers.agents.{scanner.source.agent}")
    parser.add_argument("paths", nargs="+", metavar="FILE_OR_FOLDER")
    parser.add_argument("--json", action="store_true", help="one object a line for every file with findings")
    options = parser.parse_args(arguments)
    files = hits = 0
    for path in _files_below(options.paths):
        files += 1
        try:
            findings = scanner.find(content(path, scanner.limit), os.path.basename(path))
        except Unreadable as error:
            print(plain(f"{storable(path)}: {error}"), file=sys.stderr)
            continue
        if findings:
            hits += 1
            _print(scanner, path, findings, as_json=options.json)
    print(f"{files} files, findings in {hits}", file=sys.stderr)
    return 0 if hits else 1


def _files_below(paths: Sequence[str]) -> Iterator[str]:
    for path in paths:
        if not os.path.exists(path):
            raise AgentError(f"{path}: no such file or folder")
        if not os.path.isdir(path):
            yield path
            continue
        tree = Tree(path)
        yield from (found.path for found in tree if stat.S_ISREG(found.status.st_mode))
        for where, text in tree.all_notes():
            print(plain(f"{storable(where)}: {text}"), file=sys.stderr)


def _print(scanner: Scanner, path: str, findings: list[Finding], *, as_json: bool) -> None:
    shown = storable(path)
    if as_json:
        names = scanner.source.columns.names
        rows = [dict(zip(names, finding, strict=True)) for finding in findings]
        print(json.dumps({"path": shown, "findings": rows}, ensure_ascii=False))
    else:
        for finding in findings:
            print(plain(f"{shown}: {scanner.show(finding)}"))
