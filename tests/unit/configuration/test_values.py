"""Single settings: what is understood, and what is refused in which words."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from scheduler_bridge.configuration import values


@pytest.mark.parametrize(
    ("text", "verify"),
    [
        ("none", "none"),
        ("CERT_NONE", "none"),
        ("0", "none"),
        ("Optional", "optional"),
        ("required", "required"),
        ("true", "required"),
    ],
)
def test_verification_is_known_under_several_words(text: str, verify: str) -> None:
    assert values.verification(text) == verify


@pytest.mark.parametrize("text", ["1", "true", "YES", "on"])
def test_a_switch_is_on_by_several_words(text: str) -> None:
    assert values.switch(text) is True


@pytest.mark.parametrize("text", ["0", "false", "NO", "off"])
def test_a_switch_is_off_by_several_words(text: str) -> None:
    assert values.switch(text) is False


def test_bounds_belong_to_the_range() -> None:
    assert (values.whole(0, 9)("0"), values.whole(0, 9)("9")) == (0, 9)
    assert (values.seconds(0.5, 9)("0.5"), values.seconds(0.5, 9)("9")) == (0.5, 9)


def test_a_path_need_not_exist() -> None:
    assert values.path("/nowhere/at all") == Path("/nowhere/at all")


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (values.database_url, "fossology", "must start with postgresql:// or postgres://"),
        (values.database_url, "dbname='x", "must be a postgresql:// URL or key=value pairs"),
        (values.redis_url, "amqp://h", "must start with redis://"),
        (values.redis_url, "redis://h/x", "the path must be the number of a database"),
        (values.verification, "perhaps", "must be required, optional or none, not 'perhaps'"),
        (values.switch, "perhaps", "must be 1 or 0, not 'perhaps'"),
        (values.host_name, "two words", "must be letters, digits and _ . - only"),
        (values.host_name, "x" * 256, "must be letters, digits and _ . - only, at most 255"),
        (values.whole(0, 10), "-1", "must be a whole number from 0 to 10, not '-1'"),
        (values.whole(0, 10), "1.0", "must be a whole number from 0 to 10, not '1.0'"),
        (values.whole(0, 10), "9" * 9000, "must be a whole number from 0 to 10"),
        (values.whole(0, 10), "٣", "must be a whole number from 0 to 10"),
        (values.seconds(0.1, 60), "nan", "must be a number of seconds from 0.1 to 60, not 'nan'"),
        (values.seconds(0.1, 60), "0", "must be a number of seconds from 0.1 to 60, not '0'"),
        (values.seconds(1, 3600), "1e999", "must be a number of seconds from 1 to 3600"),
        (values.path, "a\0b", "holds a NUL"),
    ],
)
def test_a_wrong_value_is_refused(read: Callable[[str], object], text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        read(text)


@pytest.mark.parametrize("url", ["redis://u:hunter2@h/x", "amqp://u:hunter2@h"])
def test_no_message_shows_a_password(url: str) -> None:
    for read in (values.redis_url, values.database_url):
        with pytest.raises(ValueError, match="must") as caught:
            read(url)
        assert "hunter2" not in str(caught.value)


def test_pairs_of_libpq_are_shown_without_their_password() -> None:
    assert values.masked_database_url("dbname=x password='hun ter2'") == "dbname=x password=***"
    assert values.masked_database_url("postgresql://u:hunter2@h/x") == "postgresql://u:***@h/x"
