"""The order of things for mails that are due: take one, send it, write down that it was sent.

A mail is taken under a lease longer than any delivery, so nobody else sends it meanwhile. A crash between the
delivery and its record sends the mail again, under the same Message-ID: once at least, and twice only then.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from scheduler_bridge.configuration.email_notify import EmailNotify
from scheduler_bridge.mail.delivery import DELIVERY_SECONDS, Failure, deliver, is_installed
from scheduler_bridge.mail.message import StreamFacts, compose, obstacle, one_line
from scheduler_bridge.mail.smtp_settings import SmtpSettings, read_smtp_settings

LEASE_SECONDS = 180  # of a mail that was taken: a delivery, with room for names that are slow to look up
MOST_TRIES = 6  # over some three hours
FIRST_WAIT_SECONDS = 30
WAIT_FACTOR = 4
MOST_MAILS = 50  # in one pass
PASS_SECONDS = 60.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DueMail:
    """A mail that was claimed: one for each end of a stream."""

    id: int
    stream: int
    end: str  # names this end of the stream, the same at every try
    tries: int  # with this one, from 1; the number of the claim, as a job's epoch


@dataclass(frozen=True, slots=True)
class Unwanted:
    """No mail is to be sent, and nothing is wrong with that."""

    reason: str


class Outbox(Protocol):
    """Where mails wait."""

    def take(self) -> DueMail | None:
        """Claim a due mail for LEASE_SECONDS, counting the try; None: none is due."""
        ...

    def facts(self, mail: DueMail) -> StreamFacts | None:
        """What the mail is about; None: the database is not FOSSology's, or the stream is gone."""
        ...

    def smtp(self) -> Mapping[str, str]:
        """The rows of `sysconfig` whose names start with SMTP, values by name."""
        ...

    def sent(self, mail: DueMail) -> None:
        """It is on its way and never due again, even if somebody else has claimed it meanwhile."""
        ...

    def failed(self, mail: DueMail, reason: str, retry_seconds: float | None) -> None:
        """It is due again in `retry_seconds`, None: never; nothing changes where a later claim exists."""
        ...


class Postman:
    """Delivers what is due; keeps what was said, and what was sent and not yet written down. One a process."""

    def __init__(self, email: EmailNotify) -> None:
        self.email = email  # how the next mail looks and goes
        self._said: set[str] = set()
        self._unrecorded: set[tuple[int, str]] = set()

    def deliver_due(self, outbox: Outbox, most: int = MOST_MAILS) -> int:
        """Deliver mails until none is due, at most `most`; how many were taken. Never raises.

        None is begun after PASS_SECONDS, so that a server which hangs leaves the thread to others.
        """
        until = float("inf")
        for taken in range(most):
            try:
                begun = time.monotonic()  # before the claim: the lease must not be thought longer than it is
                until = min(until, begun + PASS_SECONDS)
                mail = outbox.take() if begun < until else None
                if mail is None:
                    return taken
                self._handle(outbox, mail, begun)
            except Exception as error:  # of the outbox: its mails come again when their leases have expired
                log.warning("mails wait, the outbox cannot be used: %s", error)
                return taken
        return most

    def _handle(self, outbox: Outbox, mail: DueMail, begun: float) -> None:
        key = (mail.id, mail.end)
        if key in self._unrecorded:
            outbox.sent(mail)
            self._unrecorded.discard(key)
            return
        match self._try(outbox, mail, begun):
            case None:
                self._unrecorded.add(key)
                outbox.sent(mail)
                self._unrecorded.discard(key)
                log.info("the mail about stream %d is sent", mail.stream)
            case Unwanted(reason):
                outbox.failed(mail, reason, None)
                log.debug("no mail about stream %d: %s", mail.stream, reason)
            case Failure() as failure:
                wait = None if failure.final else wait_seconds(mail.tries)
                outbox.failed(mail, failure.reason, wait)
                after = "given up" if wait is None else f"tried again in {wait:.0f} s"
                log.warning(
                    "the mail about stream %d is not sent, %s: %s", mail.stream, after, failure.reason
                )

    def _try(self, outbox: Outbox, mail: DueMail, begun: float) -> Failure | Unwanted | None:
        """One delivery: None where it has succeeded, else what went wrong, also where the fault is ours."""
        if mail.tries > MOST_TRIES:  # whoever tried has never come back to say what happened
            return Failure("no try has come to an end", final=True)
        try:
            facts = outbox.facts(mail)
            if facts is None:
                return Unwanted("the database has nothing about it")
            reason = obstacle(facts)
            if reason:
                return Unwanted(reason)
            settings = self._settings(outbox)
            if settings is None and not self.email.client:
                self._say("no mail is sent: neither SMTPHostName and SMTPPort nor a mail client is set")
                return Unwanted("no way to send mail is configured")
            if settings and self.email.client and not is_installed(self.email.client):
                self._say(f"{self.email.client[0]} is not installed here: mail goes to SMTPHostName directly")
            message = compose(facts, self.email, mail.end)
            if time.monotonic() - begun > LEASE_SECONDS - DELIVERY_SECONDS:  # this process was held up
                return Failure("the lease has become too short to send it")
            return deliver(message, self.email.client, settings)
        except Exception as error:  # one mail that nobody can write must not hold up the others
            log.debug("the mail about stream %d cannot be made", mail.stream, exc_info=True)
            return Failure(one_line(f"{type(error).__name__}: {error}"))

    def _settings(self, outbox: Outbox) -> SmtpSettings | None:
        settings, wrong = read_smtp_settings(outbox.smtp())
        for problem in wrong:
            self._say(problem)
        return settings

    def _say(self, text: str) -> None:
        """Once in the life of the process."""
        if text not in self._said:
            self._said.add(text)
            log.warning("%s", text)


def wait_seconds(tries: int) -> float | None:
    """How long to wait after so many tries; None: give up."""
    return None if tries >= MOST_TRIES else float(FIRST_WAIT_SECONDS * WAIT_FACTOR ** (tries - 1))
