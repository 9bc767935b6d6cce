"""The report: joined, judged, and short enough for a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from io import StringIO

import pytest
from markdown_it import MarkdownIt
from rich.console import Console
from rich.markdown import Markdown

from workers.agents.documents import document
from workers.agents.judgement import Care, care, undeclared
from workers.agents.markdown import markdown
from workers.agents.packages import Packages, is_metadata
from workers.agents.summary import CopyrightRow, Facts, LicenseRow, Summary, summarise

AGENTS = dict.fromkeys(("unpack", "license", "copyright", "mimetype"), "1.0")
NOTHING = Facts(
    stream=7, files=10, bytes=2_000, inputs=("/s",), agents=AGENTS, cached=0,
    licenses=(), copyrights=(), mimetypes=(), notes=(),
)  # fmt: skip


def distribution(name: str, declares: str, files: str) -> dict[str, bytes]:
    head = f"Name: {name}\nVersion: 1\n" + (f"License-Expression: {declares}\n" if declares else "")
    record = "".join(f"{file},,\n" for file in files.split())
    folder = f"/s/{name}-1.dist-info"
    return {f"{folder}/METADATA": head.encode(), f"{folder}/RECORD": record.encode()}


def summary_of(facts: Facts, files: Mapping[str, bytes] | None = None) -> Summary:
    files = files or {}
    return summarise(facts, Packages.among(filter(is_metadata, files), files.get))


def found(path: str, license_id: str, kind: str = "text", line: int = 1) -> LicenseRow:
    return LicenseRow(path, license_id, kind, line)


@pytest.mark.parametrize(
    ("expression", "level"),
    [
        ("MIT", Care.PERMISSIVE),
        ("MIT OR GPL-2.0-only", Care.STRONG_COPYLEFT),
        ("LGPL-2.1-or-later", Care.WEAK_COPYLEFT),
        ("GPL-2.0-only WITH Classpath-exception-2.0", Care.WEAK_COPYLEFT),
        ("CC-BY-NC-4.0", Care.RESTRICTED),
        ("LicenseRef-acme", Care.UNCLEAR),
        ("LicenseRef-BSD", Care.PERMISSIVE),
    ],
)
def test_a_licence_needs_so_much_care(expression: str, level: Care) -> None:
    assert care(expression) is level


@pytest.mark.parametrize(
    ("found", "declared", "strange"),
    [
        (["MIT"], ["MIT"], []),
        (["MIT", "GPL-3.0-only"], ["MIT"], ["GPL-3.0-only"]),
        (["GPL-3.0-only"], ["GPL-3.0-or-later"], []),
        (["GPL-3.0-only", "LGPL-3.0-only"], ["LGPL-3.0-only"], []),
        (["BSD-2-Clause"], ["LicenseRef-BSD"], []),
        (["LicenseRef-BSD"], ["BSD-3-Clause"], []),
        (["BSD-2-Clause"], ["BSD-3-Clause"], ["BSD-2-Clause"]),
        (["MIT OR GPL-2.0-only"], ["MIT"], []),
        (["MIT AND Zlib"], ["MIT"], ["MIT AND Zlib"]),
        (["Python-2.0", "PSF-2.0"], ["PSF-2.0"], []),
        (["Apache-2.0", "GPL-2.0-only", "MPL-2.0"], [], ["GPL-2.0-only", "MPL-2.0", "Apache-2.0"]),
    ],
)
def test_what_a_declaration_does_not_cover_is_told_most_care_first(
    found: list[str], declared: list[str], strange: list[str]
) -> None:
    assert undeclared(found, frozenset(declared)) == strange


def test_a_package_with_a_licence_it_does_not_declare_is_in_the_table() -> None:
    rows = [found("/s/foo/LICENSE", "MIT"), found("/s/foo/vendor/x.py", "LGPL-2.1-or-later", "notice", 3)]
    files = distribution("foo", "MIT", "foo/LICENSE foo/vendor/x.py") | distribution(
        "bar", "MIT", "bar/LICENSE"
    )
    summary = summary_of(replace(NOTHING, licenses=[*rows, found("/s/bar/LICENSE", "MIT")]), files)
    (row,) = summary.disagreeing
    assert row.package.label == "foo 1"
    text = markdown(summary)
    assert "| foo 1   | MIT      | LGPL-2.1-or-later (1) | foo/vendor/x.py:3 |" in text
    assert "- Weak copyleft: LGPL-2.1-or-later (1 file)." in text
    assert "bar 1" not in text


def test_a_package_that_declares_nothing_is_told_with_what_is_in_it() -> None:
    files = distribution("foo", "", "foo/LICENSE")
    summary = summary_of(replace(NOTHING, licenses=[found("/s/foo/LICENSE", "ISC")]), files)
    assert "- foo 1: found in it: ISC" in markdown(summary)
    assert "- 1 package without a declared licence." in markdown(summary)
    assert not summary.disagreeing


def test_a_declaration_that_no_file_bears_out_is_told() -> None:
    summary = summary_of(NOTHING, distribution("foo", "MIT", "foo/a.py"))
    assert "In no file of theirs what they declare: foo 1." in markdown(summary)


def test_a_mere_name_neither_counts_nor_disagrees() -> None:
    rows = [found("/s/foo/a.py", "GPL-3.0-only", "reference")]
    summary = summary_of(replace(NOTHING, licenses=rows), distribution("foo", "MIT", "foo/a.py"))
    assert summary.licenses == []
    assert summary.disagreeing == []
    assert "Only mentioned, applied nowhere: GPL-3.0-only (1)." in markdown(summary)


def test_a_file_about_licences_is_not_under_them() -> None:
    many = ["MIT", "ISC", "Zlib", "0BSD", "MPL-2.0", "GPL-2.0-only", "GPL-3.0-only", "BSL-1.0"]
    rows = [found("/s/list.py", name) for name in many]
    summary = summary_of(replace(NOTHING, licenses=rows))
    assert summary.licenses == []
    assert "Collections of licences, not counted: list.py (8)." in markdown(summary)


def test_files_of_no_package_are_told() -> None:
    summary = summary_of(replace(NOTHING, licenses=[found("/s/x.c", "GPL-2.0-only")]))
    assert "In files that belong to no package: GPL-2.0-only (1)." in markdown(summary)


def test_members_of_an_archive_that_was_scanned_are_told_by_their_own_names() -> None:
    files = {"/w/a.whl!/foo-1.dist-info/METADATA": b"Name: foo\nVersion: 1\nLicense: MIT\n"}
    rows = [found("/w/a.whl!/foo-1.dist-info/LICENSE", "MPL-2.0")]
    text = markdown(summary_of(replace(NOTHING, inputs=("/w/a.whl",), licenses=rows), files))
    assert "| foo-1.dist-info/LICENSE:1 |" in text


def test_holders_are_one_whatever_their_article_and_counted_by_file() -> None:
    rows = [
        CopyrightRow("/s/a", "The Foo Team", "2001-2003"),
        CopyrightRow("/s/a", "Foo team", "2010"),
        CopyrightRow("/s/b", "the Foo Team", "1999-present"),
        CopyrightRow("/s/b", "Ann", ""),
    ]
    holders = summary_of(replace(NOTHING, copyrights=rows)).holders
    assert [(holder.holder, holder.files, holder.first, holder.last) for holder in holders] == [
        ("The Foo Team", 2, "1999", "present"),
        ("Ann", 1, "", ""),
    ]


def test_an_agent_that_did_not_run_makes_the_report_incomplete() -> None:
    text = markdown(summary_of(replace(NOTHING, agents={"unpack": "1.0", "license": "1.0"})))
    assert "**Incomplete: copyright, mimetype did not run in this stream.**" in text


def test_nothing_strange_is_said_in_one_sentence() -> None:
    assert "- Nothing stands out" in markdown(summary_of(NOTHING))


def test_problems_are_counted_and_come_before_what_was_skipped() -> None:
    notes = [("unpack", "/s", "skipped: 3 files below folders named .git"), ("unpack", "/s/a.zip", "damaged")]
    text = markdown(summary_of(replace(NOTHING, notes=notes)))
    assert "- 1 file could not be read, or not completely; see the end." in text
    assert text.index("a.zip: damaged") < text.index("skipped: 3 files")


def test_what_files_say_neither_breaks_the_table_nor_speaks_to_the_terminal() -> None:
    rows = [CopyrightRow("/s/a", "Evil | Corp\n| x |\x1b[2J", "2001")]
    text = markdown(summary_of(replace(NOTHING, copyrights=rows)))
    assert "\x1b" not in text
    assert "| Evil \\| Corp \\| x \\|?\\[2J | 1     | 2001  |" in text


EVIL = "<b>`x` | *y* __init__.py a_b [z](http://e) &lt; ~~q~~ c\\d \\* end\\"


def test_what_files_say_is_shown_as_it_is_wherever_it_stands() -> None:
    files = distribution("foo", "MIT", "foo/a.py") | distribution(EVIL, "", "bar/a.py")
    facts = replace(
        NOTHING,
        inputs=(f"/s/{EVIL}",),
        licenses=[
            found("/s/foo/a.py", f"GPL-2.0-only AND {EVIL}"),
            found("/s/bar/a.py", EVIL),
            found("/o", EVIL, "reference"),
        ],
        copyrights=[CopyrightRow("/s/a", EVIL, "2001")],
        mimetypes=[(EVIL, 1)],
        notes=[("unpack", f"/s/{EVIL}", EVIL)],
    )
    text = markdown(summary_of(facts, files))
    terminal = StringIO()
    Console(file=terminal, width=5000, no_color=True).print(Markdown(text))
    shown = terminal.getvalue()
    assert [shown.count(EVIL), shown.count("<b>"), shown.count("\\")] == [12, 12, 12 * EVIL.count("\\")]


@pytest.mark.parametrize(
    "name", ["# a", "- a", "+ a", "1. a", "12) a", "=", "***", "a_b.c-d+e#f (1.0)", "C:\\x"]
)
def test_a_name_at_the_start_of_an_entry_is_no_markup(name: str) -> None:
    text = markdown(summary_of(replace(NOTHING, notes=[("unpack", name, "damaged")])))
    tokens = MarkdownIt().parse(text)
    (place,) = (number for number, token in enumerate(tokens) if token.content.endswith(": damaged"))
    assert [token.type for token in tokens[place - 2 : place]] == ["list_item_open", "paragraph_open"]
    assert "".join(child.content for child in tokens[place].children or ()) == f"{name}: damaged"


def test_common_names_stay_as_they_are_written() -> None:
    plain = "a_b.c-d+e#f (1.0), C:\\x, Ann & Bob, LGPL-2.1-or-later: 3 files!"
    assert plain in markdown(summary_of(replace(NOTHING, inputs=(plain,))))


def test_ten_thousand_findings_still_fit_a_terminal() -> None:
    files: dict[str, bytes] = {}
    rows = []
    for number in range(300):
        files |= distribution(f"p{number}", "MIT" if number % 3 else "", f"p{number}/a.py")
        rows += [
            found(f"/s/p{number}/a.py", f"LicenseRef-{number}"),
            found(f"/s/p{number}/b.py", "GPL-2.0-only"),
        ]
    facts = replace(
        NOTHING,
        licenses=rows,
        copyrights=[CopyrightRow(f"/s/{n}", f"Holder {n}", "2001") for n in range(10_000)],
        mimetypes=[(f"text/x-{n}", 1) for n in range(500)],
        notes=[("unpack", f"/s/{n}", "cannot be read") for n in range(1000)],
    )
    lines = markdown(summary_of(facts, files)).splitlines()
    assert len(lines) < 140
    assert max(map(len, lines)) < 250
    assert "... and 9,988 more holders." in lines


def test_the_document_is_json_and_holds_what_the_text_cuts() -> None:
    rows = [found("/s/foo/x", "MPL-2.0"), *(found(f"/s/{n}", f"LicenseRef-{n}") for n in range(40))]
    files = distribution("foo", "MIT", "foo/x")
    parsed = json.loads(json.dumps(document(summary_of(replace(NOTHING, licenses=rows), files))))
    assert len(parsed["licenses"]) == 41
    assert parsed["packages"] == [
        {
            "name": "foo",
            "version": "1",
            "path": "/s/foo-1.dist-info/METADATA",
            "declared": "MIT",
            "declared_licenses": ["MIT"],
            "found": {"MPL-2.0": 1},
            "undeclared": [
                {"license": "MPL-2.0", "care": "weak copyleft", "files": 1, "example": "/s/foo/x", "line": 1}
            ],
            "confirmed": False,
        }
    ]
