"""What packages declare, and which files are theirs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest

from workers.agents.declared import Declaration, from_node, from_python
from workers.agents.packages import Packages, is_metadata


def python_metadata(*lines: str) -> bytes:
    return "\n".join(["Metadata-Version: 2.1", "Name: foo", "Version: 1.0", *lines, "", "body"]).encode()


def declared(*lines: str) -> Declaration:
    return from_python(python_metadata(*lines))


BSD = "Classifier: License :: OSI Approved :: BSD License"
APACHE = "Classifier: License :: OSI Approved :: Apache Software License"


@pytest.mark.parametrize(
    ("lines", "text", "licenses"),
    [
        (
            ["License-Expression: MIT or apache-2.0", "License: GPL"],
            "MIT OR Apache-2.0",
            {"MIT", "Apache-2.0"},
        ),
        (["License: MIT"], "MIT", {"MIT"}),
        (["License: Apache License, Version 2.0"], "Apache-2.0", {"Apache-2.0"}),
        (["License: BSD 3-Clause License"], "BSD-3-Clause", {"BSD-3-Clause"}),
        (["License: BSD", BSD], "LicenseRef-BSD", {"LicenseRef-BSD"}),
        (["License: BSD-3-Clause", BSD], "BSD-3-Clause", {"BSD-3-Clause"}),
        (
            ["License: Dual License", BSD, APACHE],
            "LicenseRef-BSD, Apache-2.0",
            {"LicenseRef-BSD", "Apache-2.0"},
        ),
        ([APACHE], "Apache-2.0", {"Apache-2.0"}),
        (["Classifier: License :: OSI Approved"], "", set()),
        (["License: see LICENSE.txt"], "see LICENSE.txt", set()),
        (["License-Expression: LicenseRef-acme"], "LicenseRef-acme", {"LicenseRef-acme"}),
        (["License-Expression: what ever"], "what ever", set()),
        ([], "", set()),
    ],
)
def test_python_metadata_declare(lines: list[str], text: str, licenses: set[str]) -> None:
    found = declared(*lines)
    assert (found.name, found.version) == ("foo", "1.0")
    assert found.text == text
    assert found.licenses == licenses


def test_a_licence_s_text_in_the_field_is_recognised() -> None:
    text = (
        "License: Permission is hereby granted, free of charge, to any person obtaining a copy of this\n"
        "        software, to deal in the Software without restriction, including without limitation the\n"
        "        rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies.\n"
        "        The above copyright notice and this permission notice shall be included in all copies or\n"
        "        substantial portions of the Software.\n"
        '        THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED'
    )
    assert declared(text).licenses == {"MIT"}


@pytest.mark.parametrize(
    ("package", "licenses"),
    [
        ({"license": "MIT"}, {"MIT"}),
        ({"license": "(MIT OR GPL-3.0)"}, {"MIT", "GPL-3.0-only"}),
        ({"license": {"type": "ISC", "url": "x"}}, {"ISC"}),
        ({"licenses": [{"type": "MIT"}, {"type": "Apache-2.0"}]}, {"MIT", "Apache-2.0"}),
        ({"license": 7}, set()),
        ({}, set()),
    ],
)
def test_a_node_package_declares(package: dict[str, object], licenses: set[str]) -> None:
    found = from_node(json.dumps({"name": "n", "version": "2", **package}).encode())
    assert found is not None
    assert found.licenses == licenses


@pytest.mark.parametrize(
    "document", [b"", b"{", b"[]", b'{"private": true}', b'{"name": 1, "version": 2}', b"\xff", b"[" * 99999]
)
def test_what_is_no_node_package_is_none(document: bytes) -> None:
    assert from_node(document) is None


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/s/foo-1.dist-info/METADATA", True),
        ("/s/METADATA", False),
        ("/s/foo/PKG-INFO", True),
        ("/s/package.json", True),
        ("/s/my-package.json", False),
    ],
)
def test_metadata_are_known_by_their_place(path: str, answer: bool) -> None:
    assert is_metadata(path) is answer


def packages_of(files: Mapping[str, bytes]) -> Callable[[str], str | None]:
    """Owner's label by path."""
    packages = Packages.among(filter(is_metadata, files), files.get)

    def owner(path: str) -> str | None:
        package = packages.owner(path)
        return package.label if package else None

    return owner


def test_a_distribution_owns_what_its_record_lists() -> None:
    record = b'foo/__init__.py,sha256=x,1\n"foo/odd,name.py",,\n../bin/foo,,\nfoo-1.dist-info/METADATA,,\n'
    owner = packages_of(
        {"/v/site/foo-1.dist-info/METADATA": python_metadata(), "/v/site/foo-1.dist-info/RECORD": record}
    )
    assert owner("/v/site/foo/__init__.py") == "foo 1.0"
    assert owner("/v/site/foo/odd,name.py") == "foo 1.0"
    assert owner("/v/bin/foo") == "foo 1.0"
    assert owner("/v/site/foo-1.dist-info/licenses/LICENSE") == "foo 1.0"
    assert owner("/v/site/bar/__init__.py") is None


def test_an_archive_in_a_package_belongs_to_it_with_all_that_is_inside() -> None:
    owner = packages_of(
        {"/s/foo-1.dist-info/METADATA": python_metadata(), "/s/foo-1.dist-info/RECORD": b"foo/data.tgz,,\n"}
    )
    assert owner("/s/foo/data.tgz!/deep/in.zip!/x") == "foo 1.0"


def test_a_wheel_s_files_are_its_own() -> None:
    owner = packages_of(
        {
            "/w/foo.whl!/foo-1.0.dist-info/METADATA": python_metadata(),
            "/w/foo.whl!/foo-1.0.dist-info/RECORD": b"foo/a.py,,\n",
        }
    )
    assert owner("/w/foo.whl!/foo/a.py") == "foo 1.0"
    assert owner("/w/foo/a.py") is None


def test_an_egg_owns_its_top_level() -> None:
    owner = packages_of(
        {"/s/foo.egg-info/PKG-INFO": python_metadata(), "/s/foo.egg-info/top_level.txt": b"foo\n_foo\n"}
    )
    assert owner("/s/foo/sub/a.py") == owner("/s/_foo.py") == "foo 1.0"


def test_a_source_tree_is_one_package_though_it_says_so_twice() -> None:
    files = {
        "/t/foo-1.0/PKG-INFO": python_metadata(),
        "/t/foo-1.0/src/foo.egg-info/PKG-INFO": python_metadata(),
    }
    packages = Packages.among(files, files.get)
    assert [package.path for package in packages.all] == ["/t/foo-1.0/PKG-INFO"]
    assert packages_of(files)("/t/foo-1.0/docs/x") == "foo 1.0"


def test_the_innermost_node_package_owns_a_file() -> None:
    def package(name: str) -> bytes:
        return json.dumps({"name": name, "version": "1"}).encode()

    owner = packages_of(
        {"/a/package.json": package("outer"), "/a/node_modules/b/package.json": package("inner")}
    )
    assert owner("/a/node_modules/b/lib/x.js") == "inner 1"
    assert owner("/a/node_modules/x.js") == "outer 1"
