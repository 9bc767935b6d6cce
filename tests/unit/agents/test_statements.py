"""Copyright statements, and what only looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.agents.statements import statements


def claims(text: str | bytes) -> list[tuple[str, str]]:
    data = text.encode() if isinstance(text, str) else text
    return [(found.holder, found.years) for found in statements(data)]


@pytest.mark.parametrize(
    ("line", "holder", "years"),
    [
        ("Copyright (c) 2001-2020 Jane Doe <jane@example.org>", "Jane Doe", "2001-2020"),
        ("# Copyright 2009 Facebook", "Facebook", "2009"),
        (
            " * Copyright (C) 1996-2026, PostgreSQL Global Development Group",
            "PostgreSQL Global Development Group",
            "1996-2026",
        ),
        ("/* © 2012 Example GmbH */", "Example GmbH", "2012"),
        ("SPDX-FileCopyrightText: 2015 Eric Larson", "Eric Larson", "2015"),
        ("SPDX-FileCopyrightText: Example e.V.", "Example e.V", ""),
        ("(c) 2012, Holger Krekel and others", "Holger Krekel and others", "2012"),
        (
            "Copyright Amazon.com, Inc. or its affiliates. All Rights Reserved.",
            "Amazon.com, Inc. or its affiliates",
            "",
        ),
        ("Copyright 2010, 2012, 2013 Foo Inc. All rights reserved.", "Foo Inc.", "2010-2013"),
        ("Copyright (c) 2017-present Ofek Lev <oss@ofek.dev>", "Ofek Lev", "2017-present"),
        (
            "Copyright Jonathan Hartley 2013. BSD 3-Clause license, see LICENSE file.",
            "Jonathan Hartley",
            "2013",
        ),
        ("__copyright__ = 'Copyright 2011, The Example Project'", "The Example Project", "2011"),
        ("Copyright (c) Microsoft Corporation. All rights reserved.", "Microsoft Corporation", ""),
        (
            "    :copyright: Copyright 2006-2022 by the Pygments team, see AUTHORS.",
            "the Pygments team",
            "2006-2022",
        ),
        ("Copyright (c) 1994-5, Regents of the University", "Regents of the University", "1994"),
        ("Copyright &copy; 2020 <a href='x'>Ann</a>", "Ann", "2020"),
        ("Portions Copyright (c) 1994, The Regents", "The Regents", "1994"),
        ("Copyright (c) Sindre Sorhus <s@example.com> (example.com)", "Sindre Sorhus", ""),
        ("Copyright © 2005 Łukasz Langa", "Łukasz Langa", "2005"),
    ],
)
def test_a_statement_gives_holder_and_years(line: str, holder: str, years: str) -> None:
    assert claims(line) == [(holder, years)]


@pytest.mark.parametrize(
    "line",
    [
        "The above copyright notice and this permission notice shall be included in all copies",
        "copyright notice shall be",
        "THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE",
        "Redistributions must retain the above copyright notice, this list of conditions",
        "copyright law of 1976 applies",
        "under copyright law",
        "copyright=copyright_text",
        "def copyright(self, year=2012):",
        "f(c) 3",
        "for (c) in items",
        "if (c) 2000 == x",
        "Copyright (c) <year> <owner>",
        "Copyright [yyyy] [name of copyright owner]",
        "Copyright (C) yyyy  name of author",
        "Copyright (c) {{ year }} {{ holder }}",
        "Copyright (c) %s",
        "Copyright and Related Rights in the Work",
        "Copyright",
        "Copyright (c) 2012",
        "copyright",
        "All copyrights reserved",
    ],
)
def test_prose_and_templates_are_no_statement(line: str) -> None:
    assert claims(line) == []


def test_a_holder_on_the_next_line_belongs_to_the_years() -> None:
    assert claims("# Copyright (c) 2001-2003,\n#   Jane Doe\n") == [("Jane Doe", "2001-2003")]


def test_the_licence_s_own_author_is_not_the_file_s() -> None:
    text = """\
 Copyright (C) 2007 Free Software Foundation, Inc. <https://fsf.org/>
 Everyone is permitted to copy and distribute verbatim copies
 of this license document, but changing it is not allowed.
"""
    assert claims(text) == []


def test_the_same_claim_is_told_once_with_its_first_line() -> None:
    (found,) = statements(b"\nCopyright 2001 Ann\nx\nCopyright 2001 Ann\n")
    assert (found.line, found.text) == (2, "Copyright 2001 Ann")


def test_two_holders_on_one_line_are_two_claims() -> None:
    assert claims("Copyright 2001 Ann, Copyright 2005 Ben") == [("Ann", "2001"), ("Ben", "2005")]


def test_a_statement_in_latin_1_is_read() -> None:
    assert claims("Copyright 1999 Jürgen Müller".encode("latin-1")) == [("Jürgen Müller", "1999")]


def test_a_statement_in_a_program_has_no_line_and_bytes_are_no_holder() -> None:
    data = b"\x7fELF\0\1Copyright (c) 1998 Eric Young\0\xc2\xa9\xff\x01\0copyright 2001 \x07\x08\xff\0"
    (found,) = statements(data)
    assert (found.holder, found.line) == ("Eric Young", 0)


def test_a_line_of_a_megabyte_is_not_a_holder() -> None:
    (found,) = statements(b"x;" * 500_000 + b"/* Copyright 2020 Ann */" + b"y;" * 500_000)
    assert found.holder == "Ann"


@given(st.binary(max_size=400))
def test_no_bytes_break_it(data: bytes) -> None:
    for found in statements(b"Copyright (c) 2001 " + data):
        assert found.holder.strip() == found.holder != ""
        assert len(found.text) <= 200
