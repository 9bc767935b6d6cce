"""`Db.conf`: what libpq makes of our connection string is the judge; no password is ever shown."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from scheduler_bridge.configuration.conninfo import Conninfo, parse_conninfo, parse_pairs

SHIPPED = "dbname=fossology;\nhost=localhost;\nuser=fossy;\npassword=fossy;\n"


def read(text: str) -> tuple[Conninfo | None, int, list[str]]:
    conninfo, line, problems = parse_conninfo(text, "Db.conf")
    return conninfo, line, [str(problem) for problem in problems]


def understood(text: str) -> dict[str, object]:
    conninfo, _, problems = read(text)
    assert problems == []
    assert conninfo is not None
    return dict(conninfo_to_dict(conninfo.text))


def test_a_shipped_file_becomes_a_connection_string_of_libpq() -> None:
    assert understood(SHIPPED) == {
        "dbname": "fossology",
        "host": "localhost",
        "user": "fossy",
        "password": "fossy",
    }


@pytest.mark.parametrize(
    ("line", "password"),
    [
        ("password='two words';", "two words"),
        ("password='semi;colon';", "semi;colon"),
        (r"password='it\'s \\ here';", r"it's \ here"),
        (r"password=it\'s;", "it's"),
        ("password=a'b;", "a'b"),
        ("password = spaced ;", "spaced"),
        ("password='';", ""),
        ("password=é€;", "é€"),
        ("password=p=q;", "p=q"),
        ("password=#hash", "#hash"),
    ],
)
def test_libpq_finds_the_password_as_it_was_meant(line: str, password: str) -> None:
    assert understood(f"dbname=x;\n{line}\n")["password"] == password


def test_several_pairs_may_share_a_line_and_comments_are_passed_over() -> None:
    text = "# made by the installation\n\ndbname=a; host=b;user=c\n  # password=old;\n"
    assert understood(text) == {"dbname": "a", "host": "b", "user": "c"}
    assert read(text)[1] == 3


def test_the_last_of_two_equal_keys_counts() -> None:
    assert understood("dbname=a;\ndbname=b;\n") == {"dbname": "b"}


@pytest.mark.parametrize(
    "line",
    [
        "password=secret words;",
        "password='secret;",
        "secret",
        "=secret;",
        "password='secret'more;",
        "p\0=secret",
    ],
)
def test_a_line_that_cannot_be_read_is_named_and_its_content_is_not_shown(line: str) -> None:
    conninfo, _, problems = read(f"dbname=x;\n{line}\n")
    assert conninfo is None
    assert problems == ["Db.conf:2: not 'key=value;' (a value with blanks needs 'quotes')"]


def test_a_file_that_says_nothing_gives_nothing() -> None:
    assert read("# nothing\n\n") == (None, 0, [])


def test_no_form_of_it_but_the_text_shows_a_password() -> None:
    conninfo, _, _ = read("dbname=x;\npassword=hunter2;\nsslpassword=hunter2;\nunheard_of=hunter2;\n")
    assert conninfo is not None
    assert "hunter2" in conninfo.text
    assert str(conninfo) == "dbname=x password=*** sslpassword=*** unheard_of=***"
    assert "hunter2" not in f"{conninfo!r} {conninfo}"


VALUES = st.text(st.characters(exclude_characters="\n\0", exclude_categories=["Cs"]), max_size=12)


@given(st.dictionaries(st.sampled_from(["dbname", "user", "password", "host"]), VALUES, min_size=1))
def test_whatever_the_values_libpq_reads_them_back_and_so_do_we(values: dict[str, str]) -> None:
    text = Conninfo(tuple(values.items())).text
    assert conninfo_to_dict(text) == values
    assert parse_pairs(text) == values


@given(st.text("ab='\\; \t#\n", max_size=25))
def test_nothing_raises_and_what_we_accept_libpq_accepts(text: str) -> None:
    conninfo, _, _ = parse_conninfo(text, "Db.conf")
    if conninfo is None:
        return
    try:
        conninfo_to_dict(conninfo.text)
    except psycopg.ProgrammingError as error:
        assert "invalid connection option" in str(error)  # a name, not the grammar
