"""Which way a mail goes, and what a failure on it means."""

from __future__ import annotations

import shutil
import smtplib
from collections.abc import Sequence
from dataclasses import dataclass

from scheduler_bridge.mail.client import ClientError, run_client
from scheduler_bridge.mail.message import Mail, one_line
from scheduler_bridge.mail.smtp import send
from scheduler_bridge.mail.smtp_settings import SmtpSettings

DELIVERY_SECONDS = 60.0  # the longest that one delivery takes; the lease of a mail must be longer
PERMANENT = range(500, 600)  # answers of a server that another try will not change


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a mail was not delivered, as far as is known."""

    reason: str
    final: bool = False  # another try can change nothing


def deliver(mail: Mail, client: Sequence[str], settings: SmtpSettings | None) -> Failure | None:
    """Deliver by the mail client where one is set and installed, else by SMTP; None: it was taken.

    At least one of the two must be configured. A mail that failed may have arrived: an answer can get lost.
    """
    by_client = bool(client) and (settings is None or is_installed(client))
    try:
        if by_client:
            run_client(client, mail, settings, seconds=DELIVERY_SECONDS)
        elif settings:
            send(mail, settings, seconds=DELIVERY_SECONDS)
        return None
    except smtplib.SMTPException as error:
        return _refused(error)
    except (OSError, ClientError, ValueError) as error:
        return Failure(one_line(f"{type(error).__name__}: {error}"))


def is_installed(client: Sequence[str]) -> bool:
    """Whether the mail client's program is on this host."""
    return shutil.which(client[0]) is not None


def _refused(error: smtplib.SMTPException) -> Failure:
    match error:
        case smtplib.SMTPRecipientsRefused():
            code, text = next(iter(error.recipients.values()))
            return Failure(_answer(code, text), code in PERMANENT)
        case smtplib.SMTPDataError():
            return Failure(_answer(error.smtp_code, error.smtp_error), error.smtp_code in PERMANENT)
        case smtplib.SMTPResponseException():  # of the greeting, the login, the sender: may be put right
            return Failure(_answer(error.smtp_code, error.smtp_error))
    return Failure(one_line(f"{type(error).__name__}: {error}"))


def _answer(code: int, text: bytes | str) -> str:
    shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return one_line(f"the mail server answers {code} {shown}")
