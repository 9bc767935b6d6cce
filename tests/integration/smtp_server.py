"""A small SMTP server for tests: STARTTLS, implicit TLS, AUTH, and servers that behave badly in one way each."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from tests.integration.tls_proxy import CERTIFICATE, KEY


@dataclass
class Delivered:
    """A mail as the server has got it."""

    sender: str
    address: str
    message: EmailMessage
    encrypted: bool
    login: tuple[str, str, str] | None  # mechanism, user, password


@dataclass
class SmtpServer:
    """How the server behaves, and what it has got."""

    starttls: bool = False  # offers it
    implicit: bool = False  # TLS from the first byte
    accounts: dict[str, str] = field(default_factory=dict)  # passwords by user; empty: offers no AUTH
    answers: dict[str, str] = field(
        default_factory=dict
    )  # by command, "." after the data; instead of success
    silent: bool = False  # never says anything
    drips: threading.Event | None = None  # until set, its greeting comes byte by byte and never ends
    drops_after_data: int = 0  # times that the connection ends instead of an answer to the data
    drops_at_quit: bool = False
    port: int = 0
    delivered: list[Delivered] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    connections: int = 0


@contextmanager
def serving(server: SmtpServer) -> Iterator[SmtpServer]:
    """The server at work on a port of its own."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.port = listener.getsockname()[1]
        accepting = threading.Thread(target=_accept, args=(listener, server, over), daemon=True)
        accepting.start()
        try:
            yield server
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread
            accepting.join()


def _accept(listener: socket.socket, server: SmtpServer, over: threading.Event) -> None:
    sessions = []
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            server.connections += 1
            session = threading.Thread(target=_serve, args=(client, server, over), daemon=True)
            session.start()
            sessions.append(session)
    for session in sessions:
        session.join()


def _serve(client: socket.socket, server: SmtpServer, over: threading.Event) -> None:
    with suppress(OSError), client:
        if server.silent:
            over.wait()
            return
        if server.drips:
            while not server.drips.wait(0.05) and not over.is_set():
                client.sendall(b"2")
            return
        _Session(client, server).run()


class _Session:
    def __init__(self, client: socket.socket, server: SmtpServer) -> None:
        self.server = server
        self.encrypted = False
        self.login: tuple[str, str, str] | None = None
        self.sender = self.address = ""
        self.client = client
        if server.implicit:
            self._encrypt()
        self.lines = self.client.makefile("rb")

    def run(self) -> None:
        with suppress(ConnectionError):
            self._say("220 ready")
            while line := self._line():
                word = line.split(" ")[0].split(":")[0].upper()
                self.server.commands.append(line)
                answer = self.server.answers.get(word)
                if answer:
                    self._say(answer)
                elif not self._obey(word, line):
                    break
        self.lines.close()
        self.client.close()

    def _obey(self, word: str, line: str) -> bool:
        match word:
            case "EHLO":
                offers = ["STARTTLS"] * (self.server.starttls and not self.encrypted)
                offers += ["AUTH LOGIN PLAIN"] * bool(self.server.accounts)
                self._say("\r\n".join(["250-here", *(f"250-{offer}" for offer in offers), "250 8BITMIME"]))
            case "STARTTLS":
                self._say("220 go on")
                self.lines.close()
                self._encrypt()
                self.lines = self.client.makefile("rb")
            case "AUTH":
                self._authenticate(line)
            case "MAIL":
                self.sender = line.split("<")[1].split(">")[0]
                allowed = self.login or not self.server.accounts
                self._say("250 ok" if allowed else "530 log in first")
            case "RCPT":
                self.address = line.split("<")[1].split(">")[0]
                self._say("250 ok")
            case "DATA":
                self._say("354 go on")
                return self._receive()
            case "QUIT":
                if not self.server.drops_at_quit:
                    self._say("221 bye")
                return False
            case _:
                self._say("250 ok" if word in ("HELO", "RSET") else "500 what?")
        return True

    def _authenticate(self, line: str) -> None:
        _, mechanism, first = line.split(" ")
        if mechanism == "PLAIN":
            _, user, password = base64.b64decode(first).decode().split("\0")
        else:
            user = base64.b64decode(first).decode()
            self._say("334 " + base64.b64encode(b"Password:").decode())
            password = base64.b64decode(self._line()).decode()
        if self.server.accounts.get(user) == password:
            self.login = (mechanism, user, password)
            self._say("235 welcome")
        else:
            self._say("535 who are you?")

    def _receive(self) -> bool:
        data = b""
        while (line := self.lines.readline()) not in (b".\r\n", b""):
            data += line.removeprefix(b".") if line.startswith(b"..") else line
        if answer := self.server.answers.get("."):
            self._say(answer)
            return True
        message = message_from_bytes(data, policy=default)
        assert isinstance(message, EmailMessage)
        self.server.delivered.append(
            Delivered(self.sender, self.address, message, self.encrypted, self.login)
        )
        if self.server.drops_after_data:
            self.server.drops_after_data -= 1
            return False
        self._say("250 taken")
        return True

    def _encrypt(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE, KEY)
        self.client = context.wrap_socket(self.client, server_side=True)
        self.encrypted = True

    def _say(self, text: str) -> None:
        self.client.sendall(text.encode() + b"\r\n")

    def _line(self) -> str:
        return self.lines.readline().decode("ascii", "replace").rstrip("\r\n")
