"""The rows of `sysconfig` as settings."""

from __future__ import annotations

import pytest

from scheduler_bridge.mail.smtp_settings import Auth, SmtpSettings, Verify, read_smtp_settings

FULL = {
    "SMTPHostName": "smtp.example.org",
    "SMTPPort": "587",
    "SMTPStartTls": "1",
    "SMTPAuth": "P",
    "SMTPFrom": "scan@example.org",
    "SMTPSslVerify": "W",
    "SMTPAuthUser": "scan",
    "SMTPAuthPasswd": "hunter2",
}


def test_every_row_is_read() -> None:
    expected = SmtpSettings(
        "smtp.example.org", 587, True, Auth.PLAIN, Verify.WARN, "scan@example.org", "scan", "hunter2"
    )
    assert read_smtp_settings(FULL) == (expected, ())


@pytest.mark.parametrize("missing", ["SMTPHostName", "SMTPPort"])
def test_without_host_or_port_there_is_no_server_and_nothing_is_wrong(missing: str) -> None:
    assert read_smtp_settings(FULL | {missing: " "}) == (None, ())
    assert read_smtp_settings({k: v for k, v in FULL.items() if k != missing}) == (None, ())


def test_host_and_port_are_enough() -> None:
    settings, wrong = read_smtp_settings({"SMTPHostName": "mail", "SMTPPort": "25"})
    assert settings == SmtpSettings("mail", 25, False, Auth.LOGIN, Verify.STRICT)
    assert wrong == ()


def test_two_means_no_tls() -> None:
    settings, _ = read_smtp_settings(FULL | {"SMTPStartTls": "2"})
    assert settings is not None and not settings.start_tls


@pytest.mark.parametrize("port", ["0", "65536", "-1", "x", "25 ", "2_5", "٢٥", "1" * 5000])
def test_a_port_is_a_number_of_16_bits(port: str) -> None:
    settings, wrong = read_smtp_settings(FULL | {"SMTPPort": port})
    assert (settings is None) == (port != "25 ")
    assert (wrong == ()) == (port == "25 ")


@pytest.mark.parametrize("host", ["a b", "-x", "a/b", "user@host", "a\nb", "a;b", "[::1"])
def test_a_host_is_a_name_or_an_address(host: str) -> None:
    settings, wrong = read_smtp_settings(FULL | {"SMTPHostName": host})
    assert settings is None and wrong[0].startswith("SMTPHostName is no name of a host")


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_a_host_may_be_an_address_of_ipv6(host: str) -> None:
    settings, _ = read_smtp_settings(FULL | {"SMTPHostName": host})
    assert settings is not None and settings.host == "::1"


def test_what_is_unknown_is_said_and_the_safe_value_holds() -> None:
    settings, wrong = read_smtp_settings(
        FULL | {"SMTPAuth": "X", "SMTPSslVerify": "no", "SMTPFrom": "-f@x y"}
    )
    assert settings is not None
    assert (settings.auth, settings.verify, settings.sender) == (Auth.LOGIN, Verify.STRICT, None)
    assert wrong == (
        "SMTPFrom is no plain address and is not used: '-f@x y'",
        "SMTPAuth is none of L, P, N: 'X'",
        "SMTPSslVerify is none of I, S, W: 'no'",
    )


def test_the_password_is_not_in_its_representation() -> None:
    assert "hunter2" not in repr(read_smtp_settings(FULL))
