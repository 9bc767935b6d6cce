"""Tags, sentences that apply a licence, mere names, and prose that does neither."""

from __future__ import annotations

import pytest

from workers.agents.spdx.detection import detect
from workers.agents.spdx.expressions import canonical, family, identifiers
from workers.agents.spdx.matching import Kind

GPL_HEAD = """\
 * This program is free software; you can redistribute it and/or modify
 * it under the terms of the GNU General Public License as published by
 * the Free Software Foundation; either version {version} of the License, or
 * (at your option) any later version.
"""
LGPL_HEAD = """\
# This library is free software; you can redistribute it and/or
# modify it under the terms of the GNU Lesser General Public
# License as published by the Free Software Foundation; either
# version {version} of the License, or (at your option) any later version.
"""
AGPL_HEAD = """\
;; This program is free software: you can redistribute it and/or modify it under the terms of the
;; GNU Affero General Public License as published by the Free Software Foundation, {version}.
"""


def findings(text: str) -> list[tuple[str, Kind]]:
    return [(finding.license, finding.kind) for finding in detect(text.encode())]


def notices(text: str) -> list[str]:
    return [license_id for license_id, kind in findings(text) if kind is Kind.NOTICE]


@pytest.mark.parametrize(
    ("text", "license_id"),
    [
        (GPL_HEAD.format(version="2"), "GPL-2.0-or-later"),
        (GPL_HEAD.format(version="3"), "GPL-3.0-or-later"),
        (LGPL_HEAD.format(version="2.1"), "LGPL-2.1-or-later"),
        (LGPL_HEAD.format(version="3"), "LGPL-3.0-or-later"),
        (LGPL_HEAD.format(version="2").replace("Lesser", "Library"), "LGPL-2.0-or-later"),
        (
            AGPL_HEAD.format(version="either version 3 of the License, or any later version"),
            "AGPL-3.0-or-later",
        ),
        (AGPL_HEAD.format(version="version 3"), "AGPL-3.0-only"),
        (
            "under the terms of the GNU General Public License version 2 as published by the FSF.",
            "GPL-2.0-only",
        ),
        ("under the terms of the GNU General Public License, version 3 only.", "GPL-3.0-only"),
        ("under the terms of version 2 of the GNU General Public License as published", "GPL-2.0-only"),
        ("under the terms of version 2.1 of the GNU Lesser General Public License", "LGPL-2.1-only"),
        ("licensed under the GNU General Public License v3.0 or later", "GPL-3.0-or-later"),
        ("under the terms of the GNU Lesser General Public License, version 3", "LGPL-3.0-only"),
        ("released under the GNU General Public License Version 2 or newer", "GPL-2.0-or-later"),
        ('Licensed under the Apache License, Version 2.0 (the "License");', "Apache-2.0"),
        (
            "This Source Code Form is subject to the terms of the Mozilla Public\n// License, v. 2.0.",
            "MPL-2.0",
        ),
        ("Released under the MIT license.", "MIT"),
        ("// Distributed under the Boost Software License, Version 1.0.", "BSL-1.0"),
        ("Licensed under the new BSD license.", "BSD-3-Clause"),
        ("governed by a BSD-style license that can be found in the LICENSE file", "LicenseRef-BSD"),
        ("under the terms of the Eclipse Public License v. 2.0 which is available at", "EPL-2.0"),
        (
            "You may distribute it under the same terms as Perl itself.",
            "GPL-1.0-or-later OR Artistic-1.0-Perl",
        ),
        ("This file is placed in the public domain.", "LicenseRef-Public-Domain"),
    ],
)
def test_a_usual_sentence_puts_a_file_under_its_licence(text: str, license_id: str) -> None:
    assert notices(text) == [license_id]


@pytest.mark.parametrize(
    "text",
    [
        "def license(self): return self._license",
        "the driver's license of the user was checked; permission denied",
        "submit license mitigation plans",
        "See the LICENSE file for details.",
        "SPDX-License-Identifier: %s",
        "print('SPDX-License-Identifier: ' + name)",
        "You need a license to sell this.",
        "",
    ],
)
def test_prose_about_licences_is_no_licence(text: str) -> None:
    assert findings(text) == []


@pytest.mark.parametrize(
    ("text", "license_id"),
    [
        ('license = "MIT"', "MIT"),
        ("Classifier: License :: OSI Approved :: Apache Software License", "Apache-2.0"),
        ("License: GPLv2+", "GPL-2.0-or-later"),
        ("compatible with the GNU General Public License version 3", "GPL-3.0-only"),
        ("__license__ = 'LGPLv3'", "LGPL-3.0-only"),
    ],
)
def test_a_name_alone_is_only_a_reference(text: str, license_id: str) -> None:
    assert findings(text) == [(license_id, Kind.REFERENCE)]


@pytest.mark.parametrize(
    ("line", "expression"),
    [
        ("# SPDX-License-Identifier: MIT", "MIT"),
        (
            "/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */",
            "GPL-2.0-only WITH Linux-syscall-note",
        ),
        ("// SPDX-License-Identifier: (GPL-2.0+ OR MIT)", "(GPL-2.0-or-later OR MIT)"),
        ("<!-- SPDX-License-Identifier: apache-2.0 AND bsd-3-clause -->", "Apache-2.0 AND BSD-3-Clause"),
        ("# SPDX-License-Identifier: MIT see the file LICENSE", "MIT"),
        ("SPDX-License-Identifier: LicenseRef-acme", "LicenseRef-acme"),
        ("SPDX-License-Identifier: FutureLicense-9.1", "LicenseRef-FutureLicense-9.1"),
    ],
)
def test_a_tag_is_read_as_an_expression(line: str, expression: str) -> None:
    assert findings(line) == [(expression, Kind.TAG)]


def test_a_tag_makes_the_sentence_beside_it_superfluous() -> None:
    text = "# SPDX-License-Identifier: Apache-2.0\n# Licensed under the Apache License, Version 2.0\n"
    assert findings(text) == [("Apache-2.0", Kind.TAG)]


def test_another_licence_beside_a_tag_is_told_too() -> None:
    text = "# SPDX-License-Identifier: MIT\n# Licensed under the Apache License, Version 2.0\n"
    assert findings(text) == [("MIT", Kind.TAG), ("Apache-2.0", Kind.NOTICE)]


def test_an_exception_goes_with_the_licence_it_softens() -> None:
    exception = (
        "Linking this library statically or dynamically with other modules is making a combined work "
        "based on this library."
    )
    assert notices(GPL_HEAD.format(version="2") + exception) == [
        "GPL-2.0-or-later WITH Classpath-exception-2.0"
    ]


def test_a_bsd_licence_that_is_named_exactly_is_not_told_twice() -> None:
    text = "Licensed under the BSD license.\nLicensed under the 3-clause BSD license.\n"
    assert notices(text) == ["BSD-3-Clause"]


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("mit or Apache-2.0", "MIT OR Apache-2.0"),
        ("GPL-2.0+", "GPL-2.0-or-later"),
        ("LGPL-2.1", "LGPL-2.1-only"),
        ("GPL-3.0-or-later", "GPL-3.0-or-later"),
        ("BSD", None),
        ("MIT OR", None),
        ("", None),
    ],
)
def test_an_expression_has_one_spelling(text: str, expression: str | None) -> None:
    assert canonical(text) == expression


def test_exceptions_are_not_among_the_licences_of_an_expression() -> None:
    text = "(GPL-2.0-only WITH Classpath-exception-2.0 OR MIT) AND Zlib"
    assert identifiers(text) == {"GPL-2.0-only", "MIT", "Zlib"}


@pytest.mark.parametrize(
    "name", ["LGPL-2.1-only", "LGPL-2.1-or-later", "LGPL-2.1-or-later WITH GCC-exception-3.1"]
)
def test_only_and_later_are_one_family(name: str) -> None:
    assert family(name) == "LGPL-2.1"
