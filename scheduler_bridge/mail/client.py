"""A mail through the mail client of `[EMAILNOTIFY] client`: today's arguments, without the shell between.

The arguments hold the password of the mail server, which other users of the host can see while the client runs;
s-nail takes it in no other way that older versions know.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import PurePath
from typing import IO
from urllib.parse import quote

from scheduler_bridge.mail.message import Mail, one_line
from scheduler_bridge.mail.smtp_settings import Auth, SmtpSettings, Verify

DPKG_SECONDS = 5
LAST_BYTES = 2000  # of what the client says
KNOWS_MTA = (14, 9)  # version of s-nail
LEADING_DIGITS = re.compile(r"(?:[0-9]+:)?([0-9]+)\.([0-9]+)")
# Some mail clients take lines that start with ~ as commands, whoever wrote them, and a lone dot as the end.
COMMAND_LINE = re.compile(r"^(?=~|\.$)", re.MULTILINE)
AUTH_WORDS = {Auth.LOGIN: "login", Auth.PLAIN: "plain", Auth.NONE: "none"}
VERIFY_WORDS = {Verify.IGNORE: "ignore", Verify.STRICT: "strict", Verify.WARN: "warn"}


class ClientError(Exception):
    """The mail client says that it has failed."""


def run_client(client: Sequence[str], mail: Mail, settings: SmtpSettings | None, *, seconds: float) -> None:
    """Hand the mail to the client. Raises OSError, ClientError; the mail may be on its way even so."""
    options = smtp_options(settings, has_mta=_has_mta(client[0])) if settings else []
    command = [*client, *options, "-s", mail.subject, mail.address]
    with tempfile.TemporaryFile() as body, tempfile.TemporaryFile() as said:
        body.write(COMMAND_LINE.sub(" ", mail.body).encode("utf-8", "replace"))
        body.seek(0)
        status = _status(command, body, said, seconds)
        if status:
            raise ClientError(f"{client[0]} ended with {status}: {_last_words(said)}".rstrip(": "))


def smtp_options(settings: SmtpSettings, *, has_mta: bool) -> list[str]:
    """What s-nail is told about the server; `has_mta`: it knows the variable mta, not only smtp."""
    variables = ["smtp-use-starttls"] if settings.start_tls else []
    variables.append(f"smtp-auth={AUTH_WORDS[settings.auth if settings.user else Auth.NONE]}")
    if settings.sender:
        variables.append(f"from={settings.sender}")
    variables += [f"ssl-verify={VERIFY_WORDS[settings.verify]}", "v15-compat"]
    variables.append("sendwait")  # else it ends before it knows whether the mail was taken
    variables.append(f"{'mta' if has_mta else 'smtp'}={_url(settings)}")
    return [word for variable in variables for word in ("-S", variable)]


def _url(settings: SmtpSettings) -> str:
    scheme = "smtp" if settings.port == 25 and not settings.start_tls else "smtps"
    login = ""
    if settings.user and settings.auth is not Auth.NONE:
        login = f"{quote(settings.user, safe='')}:{quote(settings.password, safe='')}@"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{scheme}://{login}{host}:{settings.port}"


def _has_mta(program: str) -> bool:
    """As dpkg knows the version of s-nail; without dpkg its name tells, for older ones have become rare."""
    try:
        found = subprocess.run(
            ["dpkg-query", "--show", "--showformat=${Version}", "s-nail"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DPKG_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return PurePath(program).name == "s-nail"
    version = LEADING_DIGITS.match(found.stdout.decode("ascii", "replace"))
    return version is not None and (int(version[1]), int(version[2])) >= KNOWS_MTA


def _status(command: Sequence[str], body: IO[bytes], said: IO[bytes], seconds: float) -> int:
    """The exit status. Raises OSError, TimeoutError. Files, not pipes: whoever it leaves behind blocks nobody."""
    child = subprocess.Popen(
        command,
        stdin=body,
        stdout=said,
        stderr=said,
        env={**os.environ, "LC_ALL": "C.UTF-8"},  # in which the body is written
        start_new_session=True,
    )
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"{command[0]} took longer than {seconds:.0f} s") from None
    finally:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _last_words(said: IO[bytes]) -> str:
    said.seek(max(0, said.seek(0, os.SEEK_END) - LAST_BYTES))
    lines = said.read().decode("utf-8", "replace").split("\n")
    return one_line(next((line for line in reversed(lines) if line.strip()), ""))
