"""What a mail says: variables, borders between texts of different people, and addresses."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_bridge.configuration.email_notify import EmailNotify
from scheduler_bridge.mail.message import (
    LONGEST_LINE,
    LONGEST_MESSAGE,
    JobFacts,
    StreamFacts,
    body_text,
    compose,
    is_address,
    message_id,
    obstacle,
    one_line,
)

FACTS = StreamFacts(
    database="fossology.5",
    stream=7,
    ended_at=datetime(2026, 8, 20, 12, tzinfo=UTC),
    uploader="Ann",
    address="ann@example.org",
    email_notify=True,
    upload=3,
    upload_name="zlib.tar.gz",
    item=31,
    folder_name="Software Repository/team",
    jobs=(JobFacts(11, "ununpack", 1), JobFacts(12, "nomos", 1, "Completed", "/srv/logs/000012")),
    last_job=12,
    site="scan.example.org/repo/",
    message="all is well",
)


def body(text: str, facts: StreamFacts = FACTS) -> str:
    """The body of a mail with this header alone, without the line end at its end."""
    return compose(facts, EmailNotify(header=text, footer=""), "1").body.removesuffix("\n")


def test_a_mail_is_header_message_and_footer() -> None:
    mail = compose(FACTS, EmailNotify(header="Dear user,\n", footer="\nBye."), "1")
    assert mail.body == "Dear user,\nall is well\nBye.\n"
    assert (mail.name, mail.address, mail.sent_at) == ("Ann", "ann@example.org", FACTS.ended_at)


def test_without_files_the_texts_are_the_schedulers_own() -> None:
    mail = compose(FACTS, EmailNotify(), "1")
    assert mail.subject == "FOSSology scan complete"
    assert mail.body == 'FOSSology scan complete\nmessage:"all is well"\n'


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("UPLOADNAME", "zlib.tar.gz"),
        ("BROWSELINK", "http://scan.example.org/repo/?mod=browse&upload=3&item=31&show=detail"),
        ("JOBQUEUELINK", "http://scan.example.org/repo/?mod=showjobs&upload=3"),
        ("SCHEDULERLOG", "http://scan.example.org/repo/?mod=showjobs&job=12"),
        ("UPLOADFOLDERNAME", "Software Repository/team"),
        ("JOBRESULT", "COMPLETE"),
    ],
)
def test_a_variable_becomes_its_value(variable: str, value: str) -> None:
    assert body(f"<${variable}>", replace(FACTS, message="")) == f"<{value}>"


def test_the_status_of_agents_has_a_line_for_each_job() -> None:
    jobs = (JobFacts(11, "ununpack", 1), JobFacts(12, "nomos", 2), JobFacts(13, "ojo", 3))
    assert body("$AGENTSTATUS", replace(FACTS, jobs=jobs, left_out=2, message="")) == (
        "Agents run:\n"
        "Job ID => Agent Name => Status => Link\n"
        "11 => ununpack => COMPLETED\n"
        "12 => nomos => FAILED => http://scan.example.org/repo/?mod=showjobs&job=12\n"
        "13 => ojo => FAILED => http://scan.example.org/repo/?mod=showjobs&job=13\n"
        "... and 2 more"
    )


@pytest.mark.parametrize(("bits", "result"), [(0, "COMPLETE"), (1, "COMPLETE"), (2, "FAILED"), (3, "FAILED")])
def test_a_stream_has_failed_if_the_bit_is_set_in_any_job(bits: int, result: str) -> None:
    jobs = (JobFacts(11, "ununpack", bits), JobFacts(12, "nomos", 1))
    assert body("$JOBRESULT", replace(FACTS, jobs=jobs, message="")) == result


def test_a_value_is_not_read_for_variables() -> None:
    facts = replace(FACTS, upload_name="$JOBRESULT", message="$UPLOADNAME")
    assert body("$UPLOADNAME ", facts) == "$JOBRESULT $JOBRESULT"


def test_a_variable_is_not_made_of_two_texts() -> None:
    assert body("$JOB", replace(FACTS, message="RESULT")) == "$JOBRESULT"


@pytest.mark.parametrize("text", ["$DB.users.user_pass", "$UPLOADNAMES", "$HOME", "$", "$$", "$uploadname"])
def test_what_is_no_variable_stays(text: str) -> None:
    assert body(text, replace(FACTS, message="")) == text


def test_without_a_site_there_are_no_links_and_the_log_is_a_path() -> None:
    facts = replace(FACTS, site="", message="")
    assert body("<$BROWSELINK><$JOBQUEUELINK><$SCHEDULERLOG>", facts) == "<><></srv/logs/000012>"


def test_a_site_with_a_scheme_keeps_it() -> None:
    facts = replace(FACTS, site="https://scan.example.org/", message="")
    assert body("$SCHEDULERLOG", facts) == "https://scan.example.org/?mod=showjobs&job=12"


def test_a_stream_without_an_upload_has_no_link_to_one() -> None:
    facts = replace(FACTS, upload=None, item=None, message="")
    assert body("<$BROWSELINK> $JOBQUEUELINK", facts) == "<> http://scan.example.org/repo/?mod=showjobs"


def test_without_a_text_of_an_agent_a_kill_is_quoted() -> None:
    jobs = (
        JobFacts(11, "ununpack", 1, "Completed"),
        JobFacts(12, "nomos", 2, "killed by ann"),
        JobFacts(13, "ojo", 2, "dependency failed"),
    )
    assert body("", replace(FACTS, jobs=jobs, message="")) == "killed by ann"


def test_the_schedulers_own_texts_are_no_message() -> None:
    assert body("", replace(FACTS, jobs=(JobFacts(12, "nomos", 2, "Failed"),), message="")) == ""


def test_a_long_text_of_an_agent_is_cut() -> None:
    assert len(body("", replace(FACTS, message="x" * 1_000_000))) == LONGEST_MESSAGE


@given(st.text())
def test_a_header_gets_one_printable_line(text: str) -> None:
    line = one_line(text)
    assert (line.isprintable() or not line) and len(line) <= LONGEST_LINE


@given(st.text(alphabet=st.characters()))
def test_a_body_can_be_encoded_and_holds_no_control_characters(text: str) -> None:
    shown = body_text(text)
    shown.encode("utf-8")
    assert shown.endswith("\n") and all(ord(c) >= 32 or c in "\n\t" for c in shown)


def test_other_scripts_and_blanks_stay_in_a_body() -> None:
    assert body_text("Grüße, 你好\u00a0\u3000!\r\n") == "Grüße, 你好\u00a0\u3000!\n"


def test_no_name_brings_a_header_of_its_own() -> None:
    facts = replace(FACTS, uploader="Ann\r\nBcc: eve@example.org")
    mail = compose(facts, EmailNotify(subject="done\nBcc: eve@example.org"), "1")
    assert mail.name == "Ann  Bcc: eve@example.org"
    assert mail.subject == "done Bcc: eve@example.org"


@pytest.mark.parametrize(
    "address", ["ann@example.org", "a.b+c@localhost", "o'brien@x-y.example.org", "_a@127.0.0.1", "a@b"]
)
def test_a_plain_address_is_sent_to(address: str) -> None:
    assert is_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "ann",
        "-oQ@example.org",
        "|sh@example.org",
        "/etc/passwd@example.org",
        "+folder@example.org",
        "a@b,c@d",
        "a@b c@d",
        "a@b\nBcc: c@d",
        "a@b\n",
        "a@b>\r\nRCPT TO:<c@d",
        "<a@b>",
        "a@-b",
        "a@b-",
        "a..b@c",
        "a.@c",
        "a@",
        "a/b@c",
        "`id`@c",
        "jörg@example.org",
    ],
)
def test_anything_else_is_not(address: str) -> None:
    assert not is_address(address)
    facts = replace(FACTS, address=address)
    assert "is no address" in (obstacle(facts) or "")


def test_whoever_wants_no_mail_gets_none() -> None:
    assert obstacle(FACTS) is None
    assert obstacle(replace(FACTS, email_notify=False)) == "the uploader wants no mail"
    assert obstacle(replace(FACTS, address=None)) == "the uploader has no address"
    assert obstacle(replace(FACTS, address="")) == "the uploader has no address"


def test_a_message_id_is_the_same_for_the_same_end_only() -> None:
    ends = [("a", 1, "1"), ("b", 1, "1"), ("a", 2, "1"), ("a", 1, "2"), ("a", 11, "")]
    assert len({message_id(*end) for end in ends}) == len(ends)
    assert message_id("a", 1, "1") == message_id("a", 1, "1")
    assert message_id("a", 1, "1").endswith("@scheduler-bridge.invalid>")
