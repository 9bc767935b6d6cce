"""Addresses: what is refused, and that no password is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_bridge.configuration.masking import fault_of_database_url, fault_of_redis_url, masked


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgres://u:hunter2@host:5432/db", "postgres://u:***@host:5432/db"),
        ("postgresql://host/db", "postgresql://host/db"),
        ("postgresql://u@host/db?sslmode=require", "postgresql://u@host/db?sslmode=require"),
        ("postgresql://a:1,b:2/db?user=u&password=hunter2", "postgresql://a:1,b:2/db?user=u&password=***"),
        ("redis://:hunter2@host:6379/0", "redis://:***@host:6379/0"),
        ("redis://hunter2@host", "redis://***@host"),
        ("rediss://h:p%40x@host:6380?ssl_cert_reqs=none", "rediss://h:***@host:6380?ssl_cert_reqs=none"),
        ("postgres://u:hun/ter2@host/db", "***"),
        ("postgres://u:1?ter2@host/db", "***"),
        ("postgres://u:hun#ter2@host/db", "***"),
        ("postgres://u:1?hun=ter2", "postgres://u:1?hun=***"),
        ("hunter2", "***"),
        ("postgres://[hunter2/db", "***"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert masked(url) == shown


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12), st.sampled_from(["postgres", "rediss"])
)
def test_a_password_put_in_without_encoding_is_never_shown(text: str, scheme: str) -> None:
    password = f"hunter{text}two"
    assert password not in masked(f"{scheme}://user:{password}@host/0")


@pytest.mark.parametrize(
    "url",
    [
        "postgres://u:p@ec2-1.compute.amazonaws.com:5432/d1",
        "postgresql:///db",
        "postgresql://%2Fvar%2Frun%2Fpostgresql/db",
        "postgresql://u:p@[::1]:5432/db",
        "postgresql://a:1,b:2/db?target_session_attrs=primary",
        "postgresql://u:p%2Fq%40r@h/db",
    ],
)
def test_urls_of_postgresql_are_accepted_as_they_are(url: str) -> None:
    assert fault_of_database_url(url) is None


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("mysql://u:hunter2@h/db", "must start with postgresql:// or postgres://"),
        ("POSTGRES://h/db", "must start with postgresql:// or postgres://"),
        ("postgres://[::1/db", "must start with postgresql:// or postgres://"),
        ("postgres://u:hun ter2@h/db", "holds a blank or a control character: percent-encode it"),
        ("postgres://u:hunter2@x@h/db", "an @, / or ? or # of the user"),
        ("postgres://u:hun/ter2@h/db", "an @, / or ? or # of the user"),
    ],
)
def test_a_wrong_url_is_refused_without_showing_it(url: str, fault: str) -> None:
    found = fault_of_database_url(url)
    assert found is not None
    assert found.startswith(fault)
    assert "hunter2" not in found
    assert "ter2" not in found


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://localhost:6379/0",
        "rediss://:p@h:6380/",
        "redis:///1",
        "redis+socket:///run/r.sock",
    ],
)
def test_urls_of_redis_are_accepted_as_they_are(url: str) -> None:
    assert fault_of_redis_url(url) is None


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("amqp://localhost", "must start with redis:// or rediss:// or redis+socket://"),
        ("redis://localhost:port/0", "the port must be a number up to 65535"),
        ("redis://localhost:70000/0", "the port must be a number up to 65535"),
        ("redis://localhost:0/0", "the port must not be 0"),
        (
            "redis://localhost/zero",
            "the path must be the number of a database, as in redis://localhost:6379/0",
        ),
        ("redis+socket://", "the path of the socket is missing"),
    ],
)
def test_a_wrong_redis_url_is_refused(url: str, fault: str) -> None:
    assert fault_of_redis_url(url) == fault


@given(
    st.text("redis+:/@?#[]%1 \n", max_size=30),
    st.sampled_from(["", "redis://", "postgres://", "rediss://[::1]"]),
)
def test_no_url_raises_and_none_is_of_both_kinds(text: str, start: str) -> None:
    url = start + text
    assert isinstance(masked(url), str)
    assert fault_of_redis_url(url) or fault_of_database_url(url)
