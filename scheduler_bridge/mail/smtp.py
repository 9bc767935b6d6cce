"""A mail to an SMTP server, within a time that no server can stretch.

TLS: port 465 is TLS from the first byte and 25 and 587 begin in plain text, as everywhere. On other ports TLS
from the first byte is tried, as today's options for the mail client ask for; a server that then answers in plain
text gets STARTTLS where SMTPStartTls says yes, else the mail as it is.
"""

from __future__ import annotations

import logging
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from scheduler_bridge.mail.message import Mail, is_address
from scheduler_bridge.mail.smtp_settings import Auth, SmtpSettings, Verify

STEP_SECONDS = 10.0  # for one answer of the server
MOST_ADDRESSES = 3  # of a host name are tried
IMPLICIT_TLS_PORT = 465
PLAIN_FIRST_PORTS = (25, 587)

log = logging.getLogger(__name__)


def send(mail: Mail, settings: SmtpSettings, *, seconds: float) -> None:
    """Send a mail. Raises OSError, smtplib.SMTPException, ValueError; it may have been taken even so.

    Only a return is certain; `seconds` is the longest that all of it takes but for looking up the host's name.
    """
    with _time_limit(seconds) as limit:
        try:
            _send(mail, settings, limit)
        except ssl.SSLCertVerificationError as error:  # before anything was sent
            if settings.verify is not Verify.WARN:
                raise
            log.warning("the certificate of %s is not trusted: %s", settings.host, error.verify_message)
            _send(mail, replace(settings, verify=Verify.IGNORE), limit)


def as_email(mail: Mail, settings: SmtpSettings) -> EmailMessage:
    """The mail with its headers."""
    message = EmailMessage(policy=SMTP)
    message["From"] = sender_of(settings)
    message["To"] = Address(display_name=mail.name, addr_spec=mail.address)
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(mail.sent_at)
    message["Message-ID"] = mail.message_id
    message["Auto-Submitted"] = "auto-generated"  # nobody's holiday notice answers it
    message.set_content(mail.body)
    return message


def sender_of(settings: SmtpSettings) -> str:
    """SMTPFrom, else the account's name where that is an address, else one of this machine."""
    if settings.sender:
        return settings.sender
    return settings.user if is_address(settings.user) else f"scheduler-bridge@{_own_name()}"


class _TimeLimit:
    """Cuts a connection when the time is over; a timeout of each answer alone would add up."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._watched: list[tuple[threading.Timer, socket.socket]] = []

    def left(self) -> float:
        """Seconds. Raises TimeoutError when they are over."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the mail server took too long")
        return left

    def watch(self, connection: socket.socket) -> None:
        """A second handle on the connection stays valid when TLS takes over the first one."""
        handle = connection.dup()
        timer = threading.Timer(self.left(), _cut, [handle])
        timer.daemon = True
        timer.start()
        self._watched.append((timer, handle))

    def close(self) -> None:
        for timer, handle in self._watched:
            timer.cancel()
            timer.join()
            handle.close()


@contextmanager
def _time_limit(seconds: float) -> Iterator[_TimeLimit]:
    limit = _TimeLimit(seconds)
    try:
        yield limit
    finally:
        limit.close()


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Server(smtplib.SMTP):
    """A connection within a time limit; with a context it is TLS from the first byte."""

    def __init__(self, settings: SmtpSettings, limit: _TimeLimit, context: ssl.SSLContext | None) -> None:
        self._limit = limit
        self._context = context
        super().__init__(settings.host, settings.port, _own_name(), STEP_SECONDS)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        connection = _connected(host, port, self._limit)
        connection.settimeout(timeout)
        try:
            self._limit.watch(connection)
            return (
                self._context.wrap_socket(connection, server_hostname=host) if self._context else connection
            )
        except BaseException:
            connection.close()
            raise


def _connected(host: str, port: int, limit: _TimeLimit) -> socket.socket:
    fault: OSError = OSError(f"{host} has no address")
    for _, _, _, _, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[:MOST_ADDRESSES]:
        try:
            return socket.create_connection((str(place[0]), port), min(STEP_SECONDS, limit.left()))
        except OSError as error:
            fault = error
    raise fault


def _send(mail: Mail, settings: SmtpSettings, limit: _TimeLimit) -> None:
    message = as_email(mail, settings)
    context = _context(settings.verify)
    server = _open(settings, limit, context)
    try:
        if settings.start_tls and not isinstance(server.sock, ssl.SSLSocket):
            server.starttls(context=context)
        _log_in(server, settings)
        server.send_message(message, sender_of(settings), [mail.address])
        with suppress(OSError, smtplib.SMTPException):  # it has taken the mail, whatever comes now
            server.docmd("QUIT")
    finally:
        server.close()


def _open(settings: SmtpSettings, limit: _TimeLimit, context: ssl.SSLContext) -> smtplib.SMTP:
    if settings.port in PLAIN_FIRST_PORTS:
        return _Server(settings, limit, None)
    try:
        return _Server(settings, limit, context)
    except ssl.SSLCertVerificationError:
        raise
    except ssl.SSLError:
        if settings.port == IMPLICIT_TLS_PORT:
            raise
        return _Server(settings, limit, None)


def _context(verify: Verify) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if verify is Verify.IGNORE:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _log_in(server: smtplib.SMTP, settings: SmtpSettings) -> None:
    """Without a user there is nothing to log in with, although Login is FOSSology's default."""
    if settings.auth is Auth.NONE or not settings.user:
        return
    server.ehlo_or_helo_if_needed()
    server.user, server.password = settings.user, settings.password
    if settings.auth is Auth.PLAIN:
        server.auth("PLAIN", server.auth_plain)
    else:
        server.auth("LOGIN", server.auth_login)


def _own_name() -> str:
    """For EHLO; asking the name service for more could take long."""
    name = socket.gethostname()
    return name if name.isascii() and name.replace("-", "").replace(".", "").isalnum() else "localhost"
