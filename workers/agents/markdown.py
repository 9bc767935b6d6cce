"""The report as Markdown that a terminal shows well: what to look at first, then the tops of tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from workers.agents.judgement import Care, care
from workers.agents.summary import Evidence, LicenseCount, PackageSummary, Summary

TOP_LICENSES, TOP_HOLDERS, TOP_PACKAGES, TOP_NOTES, TOP_NAMES = 15, 12, 20, 8, 8
PATH_WIDTH = 46
SCANNERS = ("license", "copyright", "mimetype")
_PLAIN_NAMES = (
    ("LicenseRef-BSD", "BSD (not said which)"),
    ("LicenseRef-Public-Domain", "public domain"),
    ("LicenseRef-Proprietary", "proprietary"),
)

# What Markdown would read as more than text. A backslash or an underscore inside a word is a text already.
_MARKUP = re.compile(
    r"""[`*<>|~\[\]] | \\(?=[!-/:-@\[-`{-~]|$) | &(?=\#?\w+;) | (?<![^\W_])_ | _(?![^\W_]) | ^[\#+=-]""",
    re.VERBOSE,
)
_NUMBERED = re.compile(r"^(\d{1,9})(?=[.)])")  # the start of a list


def markdown(summary: Summary) -> str:
    """The whole report."""
    sections = (_head, _first, _licenses, _disagreeing, _undeclaring, _holders, _files, _notes)
    return "\n\n".join("\n".join(lines) for section in sections if (lines := section(summary))) + "\n"


def _head(summary: Summary) -> list[str]:
    facts = summary.facts
    missing = [agent for agent in SCANNERS if agent not in facts.agents]
    incomplete = ["", f"**Incomplete: {', '.join(missing)} did not run in this stream.**"]
    return [
        f"# Licences and copyrights, job stream {facts.stream}",
        "",
        _text(", ".join(facts.inputs)),
        "",
        f"{_count(facts.files, 'file')}, {_megabytes(facts.bytes)}, "
        f"{_count(len(summary.packages), 'package')}; a licence in {_count(summary.licensed_files, 'file')}, "
        f"a copyright statement in {_count(summary.copyright_files, 'file')}.",
        *(incomplete if missing else []),
    ]


def _first(summary: Summary) -> list[str]:
    points = [*_careful(summary), *_differences(summary)]
    if problems := summary.facts.problems:
        points.append(f"{_count(problems, 'file')} could not be read, or not completely; see the end.")
    if not points:
        points = ["Nothing stands out: packages carry what they declare, and nothing is copyleft."]
    return ["## Look at this first", "", *(f"- {point}" for point in points)]


def _careful(summary: Summary) -> Iterable[str]:
    for level in (Care.RESTRICTED, Care.STRONG_COPYLEFT, Care.WEAK_COPYLEFT):
        counts = [count for count in summary.licenses if care(count.license) is level]
        if counts:
            names = [f"{count.license} ({_count(count.files, 'file')})" for count in counts]
            yield f"{level.words.capitalize()}: {_some(names)}."


def _differences(summary: Summary) -> Iterable[str]:
    if rows := summary.disagreeing:
        careful = sum(row.undeclared[0].care > Care.UNCLEAR for row in rows)
        yield (
            f"{_count(len(rows), 'package')} with licences they do not declare, "
            f"{careful} of them with copyleft or restricted ones."
        )
    if rows := summary.undeclaring:
        yield f"{_count(len(rows), 'package')} without a declared licence."


def _licenses(summary: Summary) -> list[str]:
    rows = [_license_row(count) for count in summary.licenses[:TOP_LICENSES]]
    table = _table(("Licence", "Files", "Packages", "Found as", "Care"), rows) if rows else ["None."]
    lines = ["## Licences found", "", *table]
    lines += _cut(summary.licenses, TOP_LICENSES, "licences")
    if summary.mentioned:
        named = [f"{name} ({files})" for name, files in summary.mentioned]
        lines += ["", f"Only mentioned, applied nowhere: {_some(named)}."]
    if summary.lists:
        named = [f"{_short(path, summary.root)} ({count})" for path, count in summary.lists]
        lines += ["", f"Collections of licences, not counted: {_some(named)}."]
    if summary.outside:
        named = [f"{found.license} ({found.files})" for found in summary.outside]
        lines += ["", f"In files that belong to no package: {_some(named)}."]
    return lines


def _license_row(count: LicenseCount) -> tuple[str, ...]:
    kinds = ", ".join(f"{files:,} {kind}" for kind, files in count.kinds.most_common())
    level = care(count.license)
    words = "" if level is Care.PERMISSIVE else level.words
    return count.license, f"{count.files:,}", str(count.packages), kinds, words


def _disagreeing(summary: Summary) -> list[str]:
    rows = [_package_row(row, summary.root) for row in summary.disagreeing[:TOP_PACKAGES]]
    lines = ["## Declared, and what is in there too", ""] if rows else []
    lines += _table(("Package", "Declares", "Also carries", "For example"), rows) if rows else []
    lines += _cut(summary.disagreeing, TOP_PACKAGES, "packages")
    names = [row.package.label for row in summary.packages if row.unconfirmed]
    return [*lines, "", f"In no file of theirs what they declare: {_some(names)}."] if names else lines


def _package_row(row: PackageSummary, root: str) -> tuple[str, ...]:
    example = row.undeclared[0]
    place = _short(example.example, root) + (f":{example.line}" if example.line else "")
    return row.package.label, row.package.declaration.text, _also(row.undeclared), place


def _also(found: Sequence[Evidence]) -> str:
    names = ", ".join(f"{evidence.license} ({evidence.files})" for evidence in found[:2])
    return f"{names}, {len(found) - 2} more" if len(found) > len(found[:2]) else names


def _undeclaring(summary: Summary) -> list[str]:
    if not summary.undeclaring:
        return []
    lines = ["## Packages without a declared licence", ""]
    for row in summary.undeclaring[:TOP_PACKAGES]:
        said = row.package.declaration.text
        found = ", ".join(name for name, _ in row.found.most_common(3)) or "nothing"
        says = f"says “{said}”; " if said else ""
        lines.append(f"- {_text(f'{row.package.label}: {says}found in it: {found}')}")
    return lines + _cut(summary.undeclaring, TOP_PACKAGES, "packages")


def _holders(summary: Summary) -> list[str]:
    rows = [
        (holder.holder, f"{holder.files:,}", "-".join(dict.fromkeys((holder.first, holder.last))))
        for holder in summary.holders[:TOP_HOLDERS]
    ]
    if not rows:
        return []
    lines = ["## Copyright holders", "", *_table(("Holder", "Files", "Years"), rows)]
    return lines + _cut(summary.holders, TOP_HOLDERS, "holders")


def _files(summary: Summary) -> list[str]:
    kinds = [f"{kind} {files:,}" for kind, files in summary.facts.mimetypes]
    return ["## Files", "", f"{_some(kinds)}."] if kinds else []


def _notes(summary: Summary) -> list[str]:
    facts = summary.facts
    ran = ", ".join(f"{agent} {version}" for agent, version in sorted(facts.agents.items()))
    end = [f"By {_text(ran)}; {facts.cached:,} results were known from before."]
    if not facts.notes:
        return end
    notes = sorted(facts.notes, key=lambda note: note[2].startswith("skipped:"))  # problems first
    lines = ["## Left out or unreadable", ""]
    lines += [f"- {_text(f'{_short(path, summary.root)}: {text}')}" for _, path, text in notes[:TOP_NOTES]]
    return [*lines, *_cut(notes, TOP_NOTES, "notes"), "", *end]


def _short(path: str, root: str) -> str:
    text = path.removeprefix(root).lstrip("!/") or path
    if len(text) <= PATH_WIDTH or text == path:
        return text
    lead = PATH_WIDTH // 3
    return f"{text[:lead]}...{text[lead + 3 - PATH_WIDTH :]}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    cells = [[_text(text) for text in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    return [
        f"| {' | '.join(text.ljust(width) for text, width in zip(row, widths, strict=True))} |"
        for row in cells
    ]


def _text(text: str) -> str:
    """Names and statements come from files: one line of them that speaks neither to Markdown nor to the terminal.

    Licences without an SPDX identifier have names for people.
    """
    for license_id, name in _PLAIN_NAMES:
        text = text.replace(license_id, name)
    line = "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))
    return _NUMBERED.sub(r"\1\\", _MARKUP.sub(r"\\\g<0>", line))


def _cut(rows: Sequence[object], top: int, what: str) -> list[str]:
    return ["", f"... and {len(rows) - top:,} more {what}."] if len(rows) > top else []


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - TOP_NAMES} more" if len(names) > TOP_NAMES else ""
    return _text(", ".join(names[:TOP_NAMES]) + more)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB" if size >= 10_000_000 else f"{size / 1e3:,.0f} kB"
