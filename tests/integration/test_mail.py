"""Mails on their way: to servers of every kind, through a mail client, and once from an outbox."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from scheduler_bridge.configuration.email_notify import EmailNotify
from scheduler_bridge.mail import delivery, outbox, smtp
from scheduler_bridge.mail.delivery import Failure, deliver
from scheduler_bridge.mail.message import JobFacts, StreamFacts, compose
from scheduler_bridge.mail.outbox import MOST_TRIES, DueMail, Postman
from scheduler_bridge.mail.smtp_settings import Auth, SmtpSettings, Verify
from tests.integration.smtp_server import SmtpServer, serving
from tests.integration.tls_proxy import CERTIFICATE

FACTS = StreamFacts(
    database="fossology.5",
    stream=7,
    ended_at=datetime(2026, 8, 20, 12, tzinfo=UTC),
    uploader='Jörg "J" <j@x>, Müller',
    address="joerg@example.org",
    email_notify=True,
    upload=3,
    upload_name="zlib.tar.gz",
    jobs=(JobFacts(12, "nomos", 1),),
    last_job=12,
    site="scan.example.org/",
    message=".\n..two dots\n~!id\nGrüße " + "x" * 3000,
)
MAIL = compose(FACTS, EmailNotify(subject="Prüfung fertig", header="", footer=""), "12")
ACCOUNTS = {"scan": "pässwörd"}
RECORDER = """\
import json, os, sys
said = {"arguments": sys.argv[1:], "stdin": sys.stdin.buffer.read().decode(), "locale": os.environ["LC_ALL"]}
with open(os.environ["RECORD"], "w") as record:
    json.dump(said, record)
"""


@pytest.fixture
def serve() -> Iterator[Callable[..., SmtpServer]]:
    """Start a server: `serve(starttls=True)`."""
    running = []

    def start(**behaviour: Any) -> SmtpServer:
        context = serving(SmtpServer(**behaviour))
        running.append(context)
        return context.__enter__()

    yield start
    for context in reversed(running):
        context.__exit__(None, None, None)


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's certificate is trusted, as one of the system's."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))


def at(server: SmtpServer, **values: Any) -> SmtpSettings:
    """Settings for the server, without TLS and login where nothing else is said."""
    plain = SmtpSettings("127.0.0.1", server.port, False, Auth.NONE, Verify.STRICT, "scan@example.org")
    return replace(plain, **values)


def reason(failure: Failure | None) -> str:
    """Why it was not delivered."""
    assert failure is not None
    return failure.reason


def text_of(message: EmailMessage) -> str:
    """Its text, with the line ends that it was written with."""
    text: str = message.get_content()
    assert text.count("\n") == text.count("\r\n")
    return text.replace("\r\n", "\n")


def test_a_mail_arrives_as_it_was_written(serve: Callable[..., SmtpServer]) -> None:
    server = serve()
    assert deliver(MAIL, (), at(server)) is None
    (got,) = server.delivered
    assert (got.sender, got.address) == ("scan@example.org", "joerg@example.org")
    assert got.message["From"] == "scan@example.org"
    assert got.message["To"].addresses[0].display_name == 'Jörg "J" <j@x>, Müller'
    assert [address.addr_spec for address in got.message["To"].addresses] == ["joerg@example.org"]
    assert got.message["Subject"] == "Prüfung fertig"
    assert got.message["Message-ID"] == MAIL.message_id
    assert got.message["Date"].datetime == FACTS.ended_at
    assert text_of(got.message) == MAIL.body
    assert not got.encrypted and got.login is None


def test_headers_cannot_be_added_by_the_texts_of_rows(serve: Callable[..., SmtpServer]) -> None:
    server = serve()
    facts = replace(
        FACTS, uploader="a\r\nBcc: eve@x", upload_name="b\r\nX-Evil: 1", message="c\r\n.\r\nQUIT\r\n"
    )
    mail = compose(facts, EmailNotify(subject="d\r\nX-Evil: 1", header="$UPLOADNAME\n", footer=""), "1")
    assert deliver(mail, (), at(server)) is None
    (got,) = server.delivered
    assert sorted(got.message.keys()) == sorted(
        [
            *("Auto-Submitted", "Content-Transfer-Encoding", "Content-Type", "Date", "From"),
            *("MIME-Version", "Message-ID", "Subject", "To"),
        ]
    )
    assert [command[:4] for command in server.commands].count("rcpt") == 1
    assert text_of(got.message) == "b  X-Evil: 1\nc\n.\nQUIT\n"


def test_starttls_is_used_where_it_is_asked_for(serve: Callable[..., SmtpServer], trusted: None) -> None:
    server = serve(starttls=True)
    assert deliver(MAIL, (), at(server, start_tls=True)) is None
    assert server.delivered[0].encrypted


def test_nothing_is_sent_in_clear_where_tls_is_asked_for(serve: Callable[..., SmtpServer]) -> None:
    server = serve()
    assert "STARTTLS" in reason(deliver(MAIL, (), at(server, start_tls=True)))
    assert server.delivered == []


@pytest.mark.parametrize("start_tls", [True, False])
def test_a_server_with_tls_from_the_first_byte_is_served(
    serve: Callable[..., SmtpServer], trusted: None, start_tls: bool
) -> None:
    server = serve(implicit=True)
    assert deliver(MAIL, (), at(server, start_tls=start_tls)) is None
    assert server.delivered[0].encrypted


@pytest.mark.parametrize("kind", ["implicit", "starttls"])
class TestACertificateThatNobodyKnows:
    """Self-signed, and not among the trusted ones."""

    def test_ends_it_where_verification_is_strict(self, serve: Callable[..., SmtpServer], kind: str) -> None:
        server = serve(**{kind: True}, accounts=ACCOUNTS)
        failure = deliver(MAIL, (), at(server, start_tls=True, user="scan", password="pw"))
        assert "self-signed certificate" in reason(failure) and not (failure and failure.final)
        assert server.delivered == [] and not any("AUTH" in command.upper() for command in server.commands)

    def test_is_only_said_where_it_is_a_warning(
        self, serve: Callable[..., SmtpServer], kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        server = serve(**{kind: True})
        assert deliver(MAIL, (), at(server, start_tls=True, verify=Verify.WARN)) is None
        assert server.delivered[0].encrypted
        assert "the certificate of 127.0.0.1 is not trusted: self-signed certificate" in caplog.text

    def test_does_not_matter_where_it_is_ignored(
        self, serve: Callable[..., SmtpServer], kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        server = serve(**{kind: True})
        assert deliver(MAIL, (), at(server, start_tls=True, verify=Verify.IGNORE)) is None
        assert server.delivered[0].encrypted and caplog.text == ""


@pytest.mark.parametrize(("auth", "mechanism"), [(Auth.LOGIN, "LOGIN"), (Auth.PLAIN, "PLAIN")])
def test_it_logs_in_as_it_is_told(
    serve: Callable[..., SmtpServer], trusted: None, auth: Auth, mechanism: str
) -> None:
    server = serve(starttls=True, accounts={"scan": "pass word"})
    settings = at(server, start_tls=True, auth=auth, user="scan", password="pass word")
    assert deliver(MAIL, (), settings) is None
    assert server.delivered[0].login == (mechanism, "scan", "pass word")


def test_without_a_user_it_does_not_log_in(serve: Callable[..., SmtpServer]) -> None:
    server = serve()
    assert deliver(MAIL, (), at(server, auth=Auth.LOGIN)) is None


def test_a_wrong_password_is_tried_again_later_and_not_named(serve: Callable[..., SmtpServer]) -> None:
    server = serve(accounts={"scan": "right"})
    failure = deliver(MAIL, (), at(server, auth=Auth.LOGIN, user="scan", password="hunter2"))
    assert failure == Failure("the mail server answers 535 who are you?")


def test_a_password_beyond_ascii_fails_without_an_exception(serve: Callable[..., SmtpServer]) -> None:
    server = serve(accounts=ACCOUNTS)
    failure = deliver(MAIL, (), at(server, auth=Auth.PLAIN, user="scan", password="pässwörd"))
    assert failure is not None and "pässwörd" not in failure.reason


@pytest.mark.parametrize(
    ("command", "answer", "final"),
    [
        ("RCPT", "550 nobody of that name", True),
        ("RCPT", "450 try later", False),
        ("DATA", "554 no", True),
        (".", "552 too much", True),
        (".", "451 disk full", False),
        ("MAIL", "550 not from you", False),
    ],
)
def test_only_what_is_refused_for_good_is_final(
    serve: Callable[..., SmtpServer], command: str, answer: str, final: bool
) -> None:
    server = serve(answers={command: answer})
    assert deliver(MAIL, (), at(server)) == Failure(f"the mail server answers {answer}", final)
    assert server.delivered == []


def test_a_mail_that_was_taken_is_sent_whatever_follows(serve: Callable[..., SmtpServer]) -> None:
    assert deliver(MAIL, (), at(serve(drops_at_quit=True))) is None
    assert deliver(MAIL, (), at(serve(answers={"QUIT": "500 never"}))) is None


def test_a_server_that_is_not_there_is_a_failure() -> None:
    settings = SmtpSettings("127.0.0.1", 1, False, Auth.NONE)
    assert "refused" in reason(deliver(MAIL, (), settings))


@pytest.mark.parametrize("behaviour", ["silent", "drips"])
def test_a_server_that_hangs_or_drips_is_left_in_time(
    serve: Callable[..., SmtpServer], monkeypatch: pytest.MonkeyPatch, behaviour: str
) -> None:
    monkeypatch.setattr(delivery, "DELIVERY_SECONDS", 0.6)
    monkeypatch.setattr(smtp, "STEP_SECONDS", 0.3)
    over = threading.Event()
    server = serve(silent=True) if behaviour == "silent" else serve(drips=over)
    monkeypatch.setattr(smtp, "PLAIN_FIRST_PORTS", (server.port,))
    assert deliver(MAIL, (), at(server)) is not None
    over.set()
    assert [thread.name for thread in threading.enumerate() if isinstance(thread, threading.Timer)] == []


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mail client that records how it was run, in `RECORD`."""
    program = tmp_path / "mail client" / "s-nail"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\n{RECORDER}")
    program.chmod(0o755)
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    return program


def recorded(client: Path) -> dict[str, Any]:
    """What the client has recorded."""
    found: dict[str, Any] = json.loads((client.parents[1] / "record").read_text())
    return found


def test_the_mail_client_gets_arguments_without_a_shell_and_the_body_on_stdin(client: Path) -> None:
    mail = replace(MAIL, subject="it's; $(id) `id`", body="Grüße\n")
    settings = SmtpSettings("mail", 25, False, Auth.LOGIN, Verify.IGNORE, "scan@example.org", "u", "p w")
    assert deliver(mail, (str(client), "-v"), settings) is None
    ran = recorded(client)
    assert ran["stdin"] == "Grüße\n" and ran["locale"] == "C.UTF-8"
    arguments = ran["arguments"]
    assert arguments[:3] == ["-v", "-S", "smtp-auth=login"]
    assert arguments[-4].endswith("=smtp://u:p%20w@mail:25")
    assert arguments[-3:] == ["-s", "it's; $(id) `id`", "joerg@example.org"]


def test_a_mail_client_needs_no_server(client: Path) -> None:
    assert deliver(MAIL, (str(client),), None) is None
    assert recorded(client)["arguments"] == ["-s", "Prüfung fertig", "joerg@example.org"]


def test_no_line_of_the_body_is_a_command_of_the_mail_client(client: Path) -> None:
    assert deliver(replace(MAIL, body="a\n~!id\n.\n.x\n ~\n"), (str(client),), None) is None
    assert recorded(client)["stdin"] == "a\n ~!id\n .\n.x\n ~\n"


def test_a_mail_client_that_fails_is_quoted(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "import sys; sys.exit('no such host\\n')")
    failure = deliver(MAIL, command, None)
    assert failure == Failure(f"ClientError: {sys.executable} ended with 1: no such host")


def test_a_mail_client_that_hangs_is_killed_with_all_it_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "DELIVERY_SECONDS", 1.0)
    pipe, hanging = tmp_path / "pipe", tmp_path / "client"
    os.mkfifo(pipe)
    hanging.write_text(f"#!/bin/sh\nexec 3>'{pipe}'\nsleep 600 &\necho begun >&3\nsleep 600\n")
    hanging.chmod(0o755)
    held = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    failure = deliver(MAIL, (str(hanging),), None)
    assert "took longer than 1 s" in reason(failure)
    os.set_blocking(held, True)
    with os.fdopen(held, "rb") as left:
        assert left.read() == b"begun\n"  # it ends: nobody holds the other end any more


def test_a_mail_client_that_is_missing_leaves_it_to_the_server(serve: Callable[..., SmtpServer]) -> None:
    server = serve()
    assert deliver(MAIL, ("/nowhere/s-nail",), at(server)) is None
    assert len(server.delivered) == 1
    assert "No such file" in reason(deliver(MAIL, ("/nowhere/s-nail",), None))


@dataclass
class Waiting:
    """A mail of the outbox below."""

    due_at: float = 0
    tries: int = 0
    state: str = "due"
    reason: str = ""


@dataclass
class OutboxInMemory:
    """An outbox with a clock of its own; `breaks` names verbs that raise once for each time they stand there."""

    mails: dict[int, Waiting]
    settings: Mapping[str, str]
    known: dict[int, StreamFacts] = field(default_factory=dict)
    now: float = 0
    breaks: list[str] = field(default_factory=list)

    def take(self) -> DueMail | None:
        self._break("take")
        for number, mail in self.mails.items():
            if mail.state == "due" and mail.due_at <= self.now:
                mail.tries += 1
                mail.due_at = self.now + outbox.LEASE_SECONDS
                return DueMail(number, number, "12", mail.tries)
        return None

    def facts(self, mail: DueMail) -> StreamFacts | None:
        self._break("facts")
        return self.known.get(mail.stream, replace(FACTS, stream=mail.stream))

    def smtp(self) -> Mapping[str, str]:
        return self.settings

    def sent(self, mail: DueMail) -> None:
        self._break("sent")
        self.mails[mail.id].state = "sent"

    def failed(self, mail: DueMail, reason: str, retry_seconds: float | None) -> None:
        self._break("failed")
        found = self.mails[mail.id]
        if found.tries == mail.tries:
            found.reason = reason
            found.state = "given up" if retry_seconds is None else "due"
            found.due_at = self.now + (retry_seconds or 0)

    def _break(self, verb: str) -> None:
        if verb in self.breaks:
            self.breaks.remove(verb)
            raise OSError(f"{verb}: the database has gone")


def an_outbox(server: SmtpServer | None, *mails: int) -> OutboxInMemory:
    """An outbox with these mails due, and the server in its settings."""
    rows = {"SMTPHostName": "127.0.0.1", "SMTPPort": str(server.port), "SMTPStartTls": "2"} if server else {}
    return OutboxInMemory({number: Waiting() for number in mails}, rows)


def test_every_due_mail_is_sent_once(serve: Callable[..., SmtpServer]) -> None:
    server = serve()
    box = an_outbox(server, 1, 2)
    assert Postman(EmailNotify()).deliver_due(box) == 2
    assert Postman(EmailNotify()).deliver_due(box) == 0
    assert len({mail.message["Message-ID"] for mail in server.delivered}) == len(server.delivered) == 2
    assert {mail.state for mail in box.mails.values()} == {"sent"}


def test_a_pass_takes_a_bounded_number(serve: Callable[..., SmtpServer]) -> None:
    box = an_outbox(serve(), 1, 2, 3)
    assert Postman(EmailNotify()).deliver_due(box, 2) == 2
    assert box.mails[3].state == "due"


def test_a_repeated_delivery_can_be_recognised(serve: Callable[..., SmtpServer]) -> None:
    server = serve(drops_after_data=1)
    box = an_outbox(server, 1)
    Postman(EmailNotify()).deliver_due(box)
    assert box.mails[1].state == "due" and "Connection unexpectedly closed" in box.mails[1].reason
    box.now = box.mails[1].due_at
    Postman(EmailNotify()).deliver_due(box)  # another process
    assert box.mails[1].state == "sent"
    first, second = server.delivered
    assert first.message["Message-ID"] == second.message["Message-ID"]
    assert first.message.as_bytes() == second.message.as_bytes()


def test_it_waits_longer_each_time_and_gives_up_at_last(
    serve: Callable[..., SmtpServer], caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(answers={"RCPT": "450 later"})
    box, postman = an_outbox(server, 1), Postman(EmailNotify())
    waits: list[float] = []
    while box.mails[1].state == "due" and len(waits) < 20:
        box.now = box.mails[1].due_at
        assert postman.deliver_due(box) == 1
        waits.append(box.mails[1].due_at - box.now)
    assert waits == [30, 120, 480, 1920, 7680, 0]
    assert box.mails[1].state == "given up" and box.mails[1].tries == MOST_TRIES
    assert caplog.messages[-1] == (
        "the mail about stream 1 is not sent, given up: the mail server answers 450 later"
    )


def test_what_is_refused_for_good_is_not_tried_again(serve: Callable[..., SmtpServer]) -> None:
    box = an_outbox(serve(answers={"RCPT": "550 nobody"}), 1)
    Postman(EmailNotify()).deliver_due(box)
    assert (box.mails[1].state, box.mails[1].tries) == ("given up", 1)


def test_whoever_wants_no_mail_costs_no_connection(
    serve: Callable[..., SmtpServer], caplog: pytest.LogCaptureFixture
) -> None:
    server = serve()
    box = an_outbox(server, 1)
    box.known[1] = replace(FACTS, email_notify=False)
    assert Postman(EmailNotify()).deliver_due(box) == 1
    assert (box.mails[1].state, box.mails[1].reason) == ("given up", "the uploader wants no mail")
    assert server.connections == 0 and caplog.messages == []


def test_without_server_and_client_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    box, postman = an_outbox(None, 1, 2), Postman(EmailNotify())
    assert postman.deliver_due(box) == 2
    assert {mail.state for mail in box.mails.values()} == {"given up"}
    assert caplog.messages == ["no mail is sent: neither SMTPHostName and SMTPPort nor a mail client is set"]


def test_one_mail_that_cannot_be_made_does_not_stop_the_next(serve: Callable[..., SmtpServer]) -> None:
    server = serve()
    box = an_outbox(server, 1, 2)
    box.breaks.append("facts")
    assert Postman(EmailNotify()).deliver_due(box) == 2
    assert box.mails[1].reason == "OSError: facts: the database has gone" and box.mails[1].state == "due"
    assert box.mails[2].state == "sent"


@pytest.mark.parametrize("verb", ["take", "sent"])
def test_an_outbox_that_fails_is_left_alone_until_the_next_pass(
    serve: Callable[..., SmtpServer], caplog: pytest.LogCaptureFixture, verb: str
) -> None:
    box = an_outbox(serve(), 1)
    box.breaks.append(verb)
    assert Postman(EmailNotify()).deliver_due(box) == 0
    assert caplog.messages == [f"mails wait, the outbox cannot be used: {verb}: the database has gone"]


def test_what_was_sent_and_not_written_down_is_not_sent_again(serve: Callable[..., SmtpServer]) -> None:
    server = serve()
    box, postman = an_outbox(server, 1), Postman(EmailNotify())
    box.breaks.append("sent")
    postman.deliver_due(box)
    assert box.mails[1].state == "due"
    box.now = box.mails[1].due_at
    assert postman.deliver_due(box) == 1
    assert box.mails[1].state == "sent" and len(server.delivered) == 1


def test_a_process_that_was_held_up_does_not_send_under_an_old_lease(
    serve: Callable[..., SmtpServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    box = an_outbox(server, 1)
    clock = iter([0.0, float(outbox.LEASE_SECONDS)])
    monkeypatch.setattr("scheduler_bridge.mail.outbox.time.monotonic", lambda: next(clock, 0.0))
    Postman(EmailNotify()).deliver_due(box, 1)
    assert "the lease has become too short" in box.mails[1].reason
    assert server.connections == 0


def test_a_mail_that_ends_its_process_each_time_is_given_up(serve: Callable[..., SmtpServer]) -> None:
    server = serve()
    box = an_outbox(server, 1)
    box.mails[1].tries = MOST_TRIES
    Postman(EmailNotify()).deliver_due(box)
    assert (box.mails[1].state, box.mails[1].reason) == ("given up", "no try has come to an end")
    assert server.connections == 0


def test_a_pass_that_has_taken_long_leaves_the_rest_to_the_next(
    serve: Callable[..., SmtpServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    box = an_outbox(serve(), 1, 2)
    monkeypatch.setattr(outbox, "PASS_SECONDS", 1e-9)
    assert Postman(EmailNotify()).deliver_due(box) == 1
    assert (box.mails[1].state, box.mails[2].tries) == ("sent", 0)


def test_two_postmen_never_send_the_same_mail(serve: Callable[..., SmtpServer]) -> None:
    server = serve()
    box = an_outbox(server, 1)
    taken = box.take()
    assert taken is not None
    assert Postman(EmailNotify()).deliver_due(box) == 0
    assert server.connections == 0


def test_a_client_that_is_missing_is_said_once(
    serve: Callable[..., SmtpServer], caplog: pytest.LogCaptureFixture
) -> None:
    server = serve()
    Postman(EmailNotify(client=("/nowhere/s-nail",))).deliver_due(an_outbox(server, 1, 2))
    assert len(server.delivered) == 2
    warnings = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings == ["/nowhere/s-nail is not installed here: mail goes to SMTPHostName directly"]
