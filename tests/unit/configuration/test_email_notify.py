"""The group [EMAILNOTIFY]: what it says, and that a mistake in it costs only the looks of a mail."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from scheduler_bridge.configuration.email_notify import MOST_BYTES, EmailNotify
from scheduler_bridge.configuration.folder import Configuration


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with both files."""
    folder = tmp_path / "conf"
    (folder / "mods-enabled").mkdir(parents=True)
    (folder / "sampleheader.txt").write_text("Dear $UPLOADNAME,\n")
    (folder / "samplefooter.txt").write_bytes(b"\xef\xbb\xbfGr\xc3\xbc\xc3\x9fe \xff\n")
    return folder


def read(folder: Path, *lines: str) -> Configuration:
    """The configuration with these lines in the group."""
    (folder / "fossology.conf").write_text("[EMAILNOTIFY]\n" + "".join(f"{line}\n" for line in lines))
    return Configuration.read(folder)


def warnings(found: Configuration) -> list[str]:
    """What is said about the group; nothing of it may keep the bridge from starting."""
    assert found.errors == ()
    return [problem.message for problem in found.warnings if problem.source.endswith("fossology.conf")]


def test_the_shipped_group_is_read(folder: Path) -> None:
    found = read(
        folder,
        "header = sampleheader.txt",
        "footer = samplefooter.txt",
        "subject = FOSSology scan complete!",
        "client = /usr/bin/s-nail",
    )
    assert found.email == EmailNotify(
        "Dear $UPLOADNAME,\n", "Grüße \ufffd\n", "FOSSology scan complete!", ("/usr/bin/s-nail",)
    )
    assert warnings(found) == []


@pytest.mark.parametrize("lines", [(), ("header =", "footer =", "subject =", "client =")])
def test_what_is_missing_has_the_schedulers_own_texts_and_no_client(
    folder: Path, lines: tuple[str, ...]
) -> None:
    found = read(folder, *lines)
    assert found.email == EmailNotify()
    assert found.email.header == 'FOSSology scan complete\nmessage:"' and found.email.footer == '"'
    assert found.email.subject == "FOSSology scan complete" and found.email.client == ()
    assert warnings(found) == []


def test_without_the_main_file_the_defaults_hold(folder: Path) -> None:
    assert Configuration.read(folder).email == EmailNotify()


def test_a_file_that_is_missing_is_said_and_replaced(folder: Path) -> None:
    found = read(folder, "subject = x", "header = other.txt")
    assert found.email.header == EmailNotify().header
    assert warnings(found) == ["header 'other.txt' is missing: a built-in text is used"]
    assert 3 in [problem.line for problem in found.warnings]


@pytest.mark.parametrize(
    "name", ["../secret", "{outside}/secret", "mods-enabled/../../secret", "link", "linked/secret"]
)
def test_no_file_outside_the_folder_is_read(folder: Path, name: str) -> None:
    outside = folder.parent
    (outside / "secret").write_text("secret")
    (folder / "link").symlink_to(outside / "secret")
    (folder / "linked").symlink_to(outside)
    found = read(folder, f"footer = {name.format(outside=outside)}")
    assert found.email.footer == '"'
    assert "lies outside the configuration folder" in warnings(found)[0]


def test_a_link_within_the_folder_is_followed(folder: Path) -> None:
    (folder / "header.txt").symlink_to("sampleheader.txt")
    assert read(folder, "header = header.txt").email.header == "Dear $UPLOADNAME,\n"


def test_what_is_no_small_file_is_not_read(folder: Path) -> None:
    (folder / "large.txt").write_bytes(b"x" * (MOST_BYTES + 1))
    (folder / "circle").symlink_to("circle")
    for name, reason in (("large.txt", "has more than"), ("mods-enabled", "is not a file"), ("circle", "")):
        found = read(folder, f"header = {name}")
        assert found.email.header == EmailNotify().header
        assert reason in warnings(found)[0]


def test_the_client_may_have_arguments_and_quotes(folder: Path) -> None:
    found = read(folder, "client = \"/opt/mail client/run\" -v 'a b'")
    assert found.email.client == ("/opt/mail client/run", "-v", "a b")


def test_an_open_quote_leaves_out_the_client(folder: Path) -> None:
    found = read(folder, 'client = "/usr/bin/s-nail')
    assert found.email.client == ()
    assert warnings(found) == ["a quote is not closed: the mail client is ignored"]


def test_a_list_is_ignored_with_a_warning(folder: Path) -> None:
    found = read(folder, "subject[] = a")
    assert found.email.subject == "FOSSology scan complete"
    assert warnings(found) == ["subject is one value, not a list: it is ignored"]


def test_it_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        EmailNotify().subject = "x"  # type: ignore[misc]
