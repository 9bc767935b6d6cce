"""Who may send commands."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from scheduler_bridge.commands.access import Access, split_token


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_a_client_on_this_machine_needs_no_token(peer: str) -> None:
    assert Access("secret").trusts(peer)


@pytest.mark.parametrize("peer", ["192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7", "fe80::1%eth0", "0.0.0.0"])
def test_a_client_on_another_machine_needs_one(peer: str) -> None:
    assert not Access("secret").trusts(peer)


@pytest.mark.parametrize("peer", ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::7"])
def test_a_network_that_is_named_needs_none(peer: str) -> None:
    assert Access(None, (ip_network("192.0.2.0/28"), ip_network("2001:db8::/64"))).trusts(peer)


def test_only_the_token_itself_opens() -> None:
    access = Access("sésame")
    assert access.opens("sésame".encode())
    assert not any(access.opens(secret) for secret in (None, b"", b"sesame", b"s\xe9same", b"s\xc3\xa9samex"))


@pytest.mark.parametrize("token", [None, ""])
def test_without_a_token_nothing_opens(token: str | None) -> None:
    assert not any(Access(token).opens(secret) for secret in (None, b"", b"None"))


@pytest.mark.parametrize(
    ("data", "split"),
    [
        (b"token abc\nstatus", (b"abc", b"status")),
        (b"TOKEN  abc \r\nstatus 7\n", (b"abc", b"status 7\n")),
        (b"token abc", (b"abc", b"")),
        (b"token a b\n", (b"a b", b"")),
        (b"token", (None, b"token")),
        (b"token \nstatus", (None, b"token \nstatus")),
        (b"status\ntoken abc\n", (None, b"status\ntoken abc\n")),
        (b"", (None, b"")),
    ],
)
def test_the_token_is_the_first_line(data: bytes, split: tuple[bytes | None, bytes]) -> None:
    assert split_token(data) == split


def test_the_token_is_not_shown_with_the_value() -> None:
    assert "secret" not in repr(Access("secret"))
