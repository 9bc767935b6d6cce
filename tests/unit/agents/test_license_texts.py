"""Licence texts told apart, however they are wrapped."""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from identify.vendor.licenses import LICENSES

from workers.agents.spdx.detection import Finding, detect
from workers.agents.spdx.matching import Kind, rules

GNU = ("GPL-", "LGPL-", "AGPL-")

PSF = """\
1. This LICENSE AGREEMENT is between the Python Software Foundation ("PSF"), and the Individual or
Organization ("Licensee") accessing and otherwise using this software ("Python") in source or binary form
and its associated documentation.

2. Subject to the terms and conditions of this License Agreement, PSF hereby grants Licensee a
nonexclusive, royalty-free, world-wide license to reproduce, analyze, test, perform and/or display
publicly, prepare derivative works, distribute, and otherwise use Python alone or in any derivative
version, provided, however, that PSF's License Agreement and PSF's notice of copyright are retained in
Python alone or in any derivative version prepared by Licensee.

3. In the event Licensee prepares a derivative work that is based on or incorporates Python or any part
thereof, and wants to make the derivative work available to others as provided herein, then Licensee
hereby agrees to include in any such work a brief summary of the changes made to Python.

5. PSF SHALL NOT BE LIABLE TO LICENSEE OR ANY OTHER USERS OF PYTHON FOR ANY INCIDENTAL, SPECIAL, OR
CONSEQUENTIAL DAMAGES OR LOSS AS A RESULT OF MODIFYING, DISTRIBUTING, OR OTHERWISE USING PYTHON, OR ANY
DERIVATIVE THEREOF.
"""

TEXTS = {
    **{name + ("-only" if name.startswith(GNU) else ""): text for name, text in LICENSES},
    "PSF-2.0": PSF,
}
COMMON = (
    *("MIT", "ISC", "0BSD", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "MPL-2.0", "GPL-2.0-only"),
    *("GPL-3.0-only", "LGPL-2.1-only", "LGPL-3.0-only", "AGPL-3.0-only", "Unlicense", "CC0-1.0", "Zlib"),
    *("BSL-1.0", "PSF-2.0", "EPL-2.0", "Artistic-2.0", "WTFPL"),
)


def prefixed(prefix: str) -> Callable[[str], str]:
    return lambda text: textwrap.indent(text, prefix, lambda line: True)


DISGUISES: dict[str, Callable[[str], str]] = {
    "a file of its own": str,
    "behind number signs": prefixed("# "),
    "in a C comment": lambda text: "/*\n" + prefixed(" * ")(text) + " */\nint main(void);\n",
    "shouted": str.upper,
    "on one line": lambda text: " ".join(text.split()),
    "in a string literal": lambda text: "".join(f'  "{line}\\n"\n' for line in text.splitlines()),
    "as HTML": lambda text: f"<pre>{html.escape(text)}</pre>",
    "with CRLF": lambda text: text.replace("\n", "\r\n"),
    "with curly quotes": lambda text: text.replace('"', "“").replace("'", "’"),
    "spelled British": lambda text: text.replace("License", "Licence").replace("license", "licence"),
    "behind a program": lambda text: "def f():\n    return 1\n" * 50 + text,
}


def found(data: str | bytes) -> list[Finding]:
    return detect(data.encode() if isinstance(data, str) else data)


def names(data: str | bytes) -> list[str]:
    return [finding.license for finding in found(data)]


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_its_own_licence_and_no_other(name: str) -> None:
    texts = [(finding.license, finding.score) for finding in found(TEXTS[name]) if finding.kind is Kind.TEXT]
    assert texts == [(name, 100)]


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_puts_nothing_under_the_licences_it_speaks_of(name: str) -> None:
    assert [finding.license for finding in found(TEXTS[name]) if finding.kind < Kind.REFERENCE] == [name]


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("name", COMMON)
def test_a_common_text_is_known_in_every_disguise(name: str, disguise: str) -> None:
    texts = [
        finding.license for finding in found(DISGUISES[disguise](TEXTS[name])) if finding.kind is Kind.TEXT
    ]
    assert texts == [name]


@given(
    name=st.sampled_from(("MIT", "ISC", "BSD-2-Clause", "BSD-3-Clause", "Zlib", "BSL-1.0")),
    width=st.integers(12, 200),
)
def test_no_line_length_hides_a_text(name: str, width: int) -> None:
    assert names(prefixed("// ")(textwrap.fill(TEXTS[name], width))) == [name]


def test_several_texts_in_one_file_are_all_found_in_order() -> None:
    notices = ("MIT", "BSD-3-Clause", "Apache-2.0", "GPL-2.0-only", "ISC")
    assert names("\n\n====\n\n".join(TEXTS[name] for name in notices)) == list(notices)


def test_a_line_leads_to_the_text() -> None:
    head = "\n".join(["x = 1"] * 40)
    (finding,) = found(
        f"{head}\n# The MIT Licence (MIT)\n{prefixed('# ')(TEXTS['MIT'].partition('fullname]')[2])}"
    )
    line = f"{head}\n".count("\n") + 1
    assert line < finding.line <= line + 3


def test_a_text_with_a_missing_clause_has_a_lower_score() -> None:
    without = re.sub(r"\(or,\s+in\s+addition|Licensor provides the Work", "", TEXTS["Apache-2.0"])
    (finding,) = found(without)
    assert finding.license == "Apache-2.0"
    assert finding.score < 100


def test_half_a_text_is_none() -> None:
    half = TEXTS["BSD-3-Clause"].partition("2. Redistributions in binary")[0]
    assert "1. Redistributions of source code" in half
    assert not [finding for finding in found(half) if finding.kind < Kind.REFERENCE]


@pytest.mark.parametrize(
    ("addition", "name"),
    [
        ("The Software shall be used for Good, not Evil.\n\n", "JSON"),
        (
            "Except as contained in this notice, the name of Foo shall not be used in advertising or "
            "otherwise to promote the sale, use or other dealings in this Software without prior written "
            "authorization.\n\n",
            "X11",
        ),
    ],
)
def test_a_sentence_more_makes_another_licence_of_mit(addition: str, name: str) -> None:
    text = TEXTS["MIT"]
    place = text.index('THE SOFTWARE IS PROVIDED "AS IS"')
    changed = text[:place] + addition + text[place:] if name == "JSON" else text + addition
    assert [finding.license for finding in found(changed) if finding.kind is Kind.TEXT] == [name]


def test_an_advertising_clause_makes_four_clauses_of_three() -> None:
    clause = (
        "All advertising materials mentioning features or use of this software must display the following "
        "acknowledgement: This product includes software developed by Foo.\n\n"
    )
    text = TEXTS["BSD-3-Clause"]
    place = text.index("Neither the name")
    assert names(text[:place] + clause + text[place:])[0] == "BSD-4-Clause"


def test_a_text_inside_a_program_is_found_without_a_line() -> None:
    (finding,) = found(b"\x7fELF\0\0\1" + TEXTS["MIT"].encode() + b"\0\xff\xfe\0")
    assert (finding.license, finding.line) == ("MIT", 0)


def test_a_program_that_only_denies_permission_has_no_licence() -> None:
    assert not found(b"\x7fELF\0\0permission denied\0license server not found\0")


def test_every_phrase_of_the_tables_is_in_the_form_it_is_searched_in() -> None:
    tables = rules()
    phrases = [phrase for rule in tables.texts for phrase in (*rule.phrases, *rule.unless)]
    phrases += [row[0] for row in tables.named] + [row[0] for row in tables.exceptions]
    for phrase in phrases:
        assert all(word.isalnum() or b"+" in word for word in phrase.words), phrase.needle
        assert phrase.needle == b" " + b" ".join(phrase.needle.lower().split()) + b" "
        assert b"licence" not in phrase.needle


def test_at_least_the_twenty_common_licences_have_a_text() -> None:
    assert set(COMMON) <= {rule.license for rule in rules().texts}
    assert len(COMMON) >= 20
