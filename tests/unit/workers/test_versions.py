"""Versions of agents: the first one counts, another is adopted with one warning."""

from __future__ import annotations

import pytest

from workers.versions import Versions


def test_only_a_version_that_differs_is_told_and_only_once(caplog: pytest.LogCaptureFixture) -> None:
    versions = Versions()
    for version in ("1", "1", None, "2", "2"):
        versions.note("a", version)
    versions.note("b", "9")
    assert caplog.messages == ["agent type a: version 2, was 1"]


def test_what_a_start_up_test_has_found_is_adopted_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    versions = Versions()
    versions.adopt("a", "1")
    versions.adopt("a", "2")
    versions.adopt("a", None)
    versions.note("a", "2")
    assert caplog.messages == []
    versions.note("a", "3")
    assert caplog.messages == ["agent type a: version 3, was 2"]


def test_after_a_reload_any_version_is_the_first(caplog: pytest.LogCaptureFixture) -> None:
    versions = Versions()
    versions.note("a", "1")
    versions.forget()
    versions.note("a", "2")
    assert caplog.messages == []
