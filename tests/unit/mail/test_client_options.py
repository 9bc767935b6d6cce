"""The mail client's options."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler_bridge.mail.client import smtp_options
from scheduler_bridge.mail.smtp_settings import Auth, SmtpSettings, Verify

SETTINGS = SmtpSettings(
    "smtp.example.org", 587, True, Auth.LOGIN, Verify.STRICT, "scan@example.org", "a b", "p@:/"
)


def variables(settings: SmtpSettings, *, has_mta: bool = True) -> list[str]:
    """What follows each -S."""
    options = smtp_options(settings, has_mta=has_mta)
    assert options[::2] == ["-S"] * (len(options) // 2)
    return options[1::2]


def test_they_are_those_of_today() -> None:
    assert variables(SETTINGS) == [
        "smtp-use-starttls",
        "smtp-auth=login",
        "from=scan@example.org",
        "ssl-verify=strict",
        "v15-compat",
        "sendwait",
        "mta=smtps://a%20b:p%40%3A%2F@smtp.example.org:587",
    ]


def test_an_older_client_is_told_by_its_older_name() -> None:
    assert variables(SETTINGS, has_mta=False)[-1].startswith("smtp=smtps://")


@pytest.mark.parametrize(
    ("port", "start_tls", "scheme"),
    [(25, False, "smtp"), (25, True, "smtps"), (587, False, "smtps"), (465, True, "smtps")],
)
def test_it_is_smtps_but_for_port_25_without_tls(port: int, start_tls: bool, scheme: str) -> None:
    assert variables(replace(SETTINGS, port=port, start_tls=start_tls))[-1].startswith(f"mta={scheme}://")


@pytest.mark.parametrize("settings", [replace(SETTINGS, user=""), replace(SETTINGS, auth=Auth.NONE)])
def test_without_a_login_there_is_no_account_in_the_url(settings: SmtpSettings) -> None:
    assert variables(settings)[1] == "smtp-auth=none"
    assert variables(settings)[-1] == "mta=smtps://smtp.example.org:587"


def test_the_other_letters_have_their_words() -> None:
    found = variables(replace(SETTINGS, auth=Auth.PLAIN, verify=Verify.WARN, sender=None, start_tls=False))
    assert found[:3] == ["smtp-auth=plain", "ssl-verify=warn", "v15-compat"]
    assert "ssl-verify=ignore" in variables(replace(SETTINGS, verify=Verify.IGNORE))


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    assert variables(replace(SETTINGS, host="::1", user=""))[-1] == "mta=smtps://[::1]:587"
