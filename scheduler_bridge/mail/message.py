"""What is known of an ended job stream -> the mail about it; pure.

The texts come from rows and agents, so anybody who may upload chooses some of them: they are put in once and
never read as variables themselves, and no header gets a line end or a control character.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime

from scheduler_bridge.configuration.email_notify import EmailNotify

FAILED_BIT = 2  # of jq_end_bits
COMPLETED_BIT = 1
LONGEST_LINE = 200  # characters of a subject or a name
LONGEST_MESSAGE = 64 * 1024  # characters that an agent may add to a mail
OWN_TEXTS = frozenset({"", "Started", "Restarted", "Paused", "Completed", "Failed", "dependency failed"})
NO_BODY = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# Stricter than RFC 5321: a mail client takes what starts with | / + - for a program, a file or an option.
ADDRESS = re.compile(
    r"[A-Za-z0-9_](?:[A-Za-z0-9_.%&'*+=?^~-]{0,62}[A-Za-z0-9_%&'*+=?^~-])?"
    r"@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
)


@dataclass(frozen=True, slots=True)
class JobFacts:
    """A job as the mail lists it."""

    job: int
    agent_type: str
    bits: int  # jq_end_bits
    text: str = ""  # jq_endtext
    log: str | None = None  # jq_log, a path

    @property
    def failed(self) -> bool:
        """Whether the bit for a failure is set; 3 is a job that was killed after it had completed."""
        return bool(self.bits & FAILED_BIT)


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """What a mail about an ended job stream says, and to whom."""

    database: str  # names the database among all that send mail
    stream: int
    ended_at: datetime  # of the last job; where nobody wants the mail, when this was read
    uploader: str
    address: str | None
    email_notify: bool  # whether the uploader wants mail
    upload: int | None  # upload_pk; None: the stream has no upload, or it is deleted
    upload_name: str
    item: int | None = None  # uploadtree_pk of the upload's root
    folder_name: str = ""  # with the folders above it, from the root on
    jobs: tuple[JobFacts, ...] = ()  # in the order of jq_pk; failed ones are left out last
    left_out: int = 0  # jobs beyond those
    last_job: int | None = None  # the one that ended last
    site: str = ""  # FOSSologyURL
    message: str = ""  # the last text of EMAIL; empty: a kill's text is looked for


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as it is handed to whatever delivers it; no field but the body holds a line end."""

    message_id: str
    sent_at: datetime  # its Date
    name: str
    address: str
    subject: str
    body: str


def obstacle(facts: StreamFacts) -> str | None:
    """Why the stream is not worth a mail; None: it is."""
    if not facts.email_notify:
        return "the uploader wants no mail"
    if not facts.address:
        return "the uploader has no address"
    if not is_address(facts.address):
        return f"{one_line(facts.address)!r} is no address that mail is sent to"
    return None


def is_address(text: str) -> bool:
    """Whether it is one plain address, which no mail client can take for anything else."""
    return ADDRESS.fullmatch(text) is not None and ".." not in text


def compose(facts: StreamFacts, email: EmailNotify, end: str) -> Mail:
    """The mail about one end of a stream, for which `obstacle` has found none; `end` names the end.

    The same facts and end give the same mail, also its Message-ID and Date.
    """
    assert facts.address is not None
    values = _values(facts)
    parts = (email.header, _message(facts)[:LONGEST_MESSAGE], email.footer)
    return Mail(
        message_id=message_id(facts.database, facts.stream, end),
        sent_at=facts.ended_at,
        name=one_line(facts.uploader),
        address=facts.address,
        subject=one_line(email.subject),
        body=body_text("".join(expanded(part, values) for part in parts)),
    )


def message_id(database: str, stream: int, end: str) -> str:
    """The Message-ID of a stream's end: whoever gets a mail twice can see that it is the same one."""
    digest = hashlib.sha256(f"{database}\0{stream}\0{end}".encode("utf-8", "replace")).hexdigest()
    return f"<{digest[:32]}@scheduler-bridge.invalid>"


def expanded(text: str, values: dict[str, str]) -> str:
    """The text with `$NAME` replaced, in one pass, so that no value is searched; unknown names stay."""
    variable = re.compile(rf"\$({'|'.join(values)})(?![A-Za-z0-9_])")
    return variable.sub(lambda found: values[found[1]], text)


def one_line(text: str) -> str:
    """The text as a header may hold it: printable, at most LONGEST_LINE characters."""
    shown = "".join(character if character.isprintable() else " " for character in text).strip()
    return shown if len(shown) <= LONGEST_LINE else shown[: LONGEST_LINE - 3] + "..."


def body_text(text: str) -> str:
    """The text with line ends as \\n and without control characters; ends with a line end."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    shown = NO_BODY.sub("\N{REPLACEMENT CHARACTER}", lines)
    return shown if shown.endswith("\n") else shown + "\n"


def _values(facts: StreamFacts) -> dict[str, str]:
    failed = any(job.failed for job in facts.jobs)
    of_upload = f"&upload={facts.upload}" if facts.upload is not None else ""
    browse = f"?mod=browse{of_upload}&item={facts.item}&show=detail" if of_upload and facts.item else ""
    return {
        "UPLOADNAME": one_line(facts.upload_name),
        "BROWSELINK": _link(facts.site, browse),
        "JOBQUEUELINK": _link(facts.site, f"?mod=showjobs{of_upload}"),
        "SCHEDULERLOG": _log(facts),
        "UPLOADFOLDERNAME": one_line(facts.folder_name),
        "JOBRESULT": "FAILED" if failed else "COMPLETE",
        "AGENTSTATUS": _agent_status(facts),
    }


def _link(site: str, query: str) -> str:
    """Empty where there is no site, or nothing to show."""
    if not site or not query:
        return ""
    scheme = "" if site.startswith(("http://", "https://")) else "http://"
    return scheme + one_line(site) + query


def _job_link(site: str, job: int) -> str:
    return _link(site, f"?mod=showjobs&job={job}")


def _log(facts: StreamFacts) -> str:
    """The page of the job that ended last, or the path of its log where no site is known."""
    if facts.last_job is None:
        return ""
    path = next((job.log for job in facts.jobs if job.job == facts.last_job), None)
    return _job_link(facts.site, facts.last_job) or one_line(path or "")


def _agent_status(facts: StreamFacts) -> str:
    lines = ["Agents run:", "Job ID => Agent Name => Status => Link"]
    for job in facts.jobs:
        row = f"{job.job} => {one_line(job.agent_type)} =>"
        completed = job.bits & COMPLETED_BIT and not job.failed
        lines.append(f"{row} COMPLETED" if completed else f"{row} FAILED => {_job_link(facts.site, job.job)}")
    if facts.left_out:
        lines.append(f"... and {facts.left_out} more")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _message(facts: StreamFacts) -> str:
    """What the agent says, else why the first job failed where that says more than the result does."""
    if facts.message:
        return facts.message
    return next((job.text for job in facts.jobs if job.failed and job.text not in OWN_TEXTS), "")
