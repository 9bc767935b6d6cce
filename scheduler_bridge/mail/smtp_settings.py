"""The rows `SMTP...` of `sysconfig`, as FOSSology's page for them writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from scheduler_bridge.configuration.problem import shown
from scheduler_bridge.mail.message import is_address

HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9.])?|([0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)")


class Auth(Enum):
    """`SMTPAuth`."""

    LOGIN = "L"
    PLAIN = "P"
    NONE = "N"


class Verify(Enum):
    """`SMTPSslVerify`: what a certificate that cannot be verified means."""

    IGNORE = "I"
    STRICT = "S"
    WARN = "W"


Letter = TypeVar("Letter", Auth, Verify)


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """Where mail is sent to."""

    host: str
    port: int
    start_tls: bool = True  # SMTPStartTls is 1: nothing is sent without TLS
    auth: Auth = Auth.LOGIN
    verify: Verify = Verify.STRICT
    sender: str | None = None  # SMTPFrom
    user: str = ""
    password: str = field(default="", repr=False)


def read_smtp_settings(values: Mapping[str, str]) -> tuple[SmtpSettings | None, tuple[str, ...]]:
    """The settings, None where host or port is missing or unusable; what is wrong. No password is named."""
    host, port = values.get("SMTPHostName", "").strip(), values.get("SMTPPort", "").strip()
    if not host or not port:
        return None, ()
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not HOST.fullmatch(host):
        return None, (f"SMTPHostName is no name of a host: {shown(host)}",)
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and 0 < int(port) < 65536):
        return None, (f"SMTPPort is no port: {shown(port)}",)
    sender, user = values.get("SMTPFrom", "").strip(), values.get("SMTPAuthUser", "")
    wrong = []
    if sender and not is_address(sender):
        wrong.append(f"SMTPFrom is no plain address and is not used: {shown(sender)}")
    found = SmtpSettings(
        host=host,
        port=int(port),
        start_tls=values.get("SMTPStartTls", "").strip() == "1",
        auth=_known(Auth, "SMTPAuth", values, wrong) or Auth.LOGIN,
        verify=_known(Verify, "SMTPSslVerify", values, wrong) or Verify.STRICT,
        sender=sender if is_address(sender) else None,
        user=user,
        password=values.get("SMTPAuthPasswd", ""),
    )
    return found, tuple(wrong)


def _known(kind: type[Letter], name: str, values: Mapping[str, str], wrong: list[str]) -> Letter | None:
    """The member that a letter stands for; None where there is no letter, or an unknown one, which is noted."""
    text = values.get(name, "").strip()
    member = next((member for member in kind if member.value == text), None)
    if text and member is None:
        wrong.append(f"{name} is none of {', '.join(member.value for member in kind)}: {shown(text)}")
    return member
