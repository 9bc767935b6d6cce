"""Where job logs are and how they are made: names, modes, links."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.log_file import create, log_path

DEEP = Path("logs/00/00/28/000028")


@pytest.fixture
def strict_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def written(repository: Path, path: Path, text: bytes) -> Path:
    """Make a log, write to it, and where it is."""
    fd = create(repository, path)
    os.write(fd, text)
    os.close(fd)
    return repository / path


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


@pytest.mark.parametrize(
    ("job", "depth", "path"),
    [
        (28, 3, "logs/00/00/28/000028"),
        (123456, 3, "logs/12/34/56/123456"),
        (1234567, 3, "logs/12/34/56/1234567"),
        (2147483647, 3, "logs/21/47/48/2147483647"),
        (28, 0, "logs/000028"),
        (28, 1, "logs/00/000028"),
        (28, 16, "logs/00/00/28/000028"),
        (1234567890, 5, "logs/12/34/56/78/90/1234567890"),
    ],
)
def test_a_log_lies_below_pairs_of_the_first_digits_of_its_name(job: int, depth: int, path: str) -> None:
    assert str(log_path(job, depth)) == path


def test_the_group_may_read_and_write_whatever_the_umask(tmp_path: Path, strict_umask: None) -> None:
    path = written(tmp_path, DEEP, b"x\n")
    assert mode(path) == 0o660
    assert [mode(tmp_path / "logs" / name) for name in ("", "00", "00/00", "00/00/28")] == [0o770] * 4


def test_a_repository_hands_its_group_down(tmp_path: Path) -> None:
    tmp_path.chmod(0o2770)
    path = written(tmp_path, DEEP, b"x\n")
    assert {mode(folder) for folder in (path.parent, path.parent.parent)} == {0o2770}
    assert path.stat().st_gid == tmp_path.stat().st_gid


def test_folders_that_are_there_keep_their_modes(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir(mode=0o700)
    written(tmp_path, DEEP, b"x\n")
    assert mode(tmp_path / "logs") == 0o700


def test_a_new_run_begins_the_log_anew_and_whoever_still_writes_to_the_old_one_does_no_harm(
    tmp_path: Path,
) -> None:
    late = create(tmp_path, DEEP)
    path = written(tmp_path, DEEP, b"second\n")
    os.write(late, b"first\n")
    os.close(late)
    assert path.read_bytes() == b"second\n"


def test_a_link_in_place_of_the_log_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    repository = tmp_path / "repository"
    (repository / DEEP.parent).mkdir(parents=True)
    (repository / DEEP).symlink_to(victim)
    assert written(repository, DEEP, b"x\n").read_bytes() == b"x\n"
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("link", ["logs", "logs/00", "logs/00/00/28"])
def test_a_link_that_leads_out_of_the_repository_is_refused(tmp_path: Path, link: str) -> None:
    outside, repository = tmp_path / "outside", tmp_path / "repository"
    outside.mkdir()
    (repository / link).parent.mkdir(parents=True)
    (repository / link).symlink_to(outside)
    with pytest.raises(OSError, match="out of the repository"):
        create(repository, DEEP)
    assert list(outside.iterdir()) == []


def test_a_link_inside_the_repository_and_a_link_to_it_are_followed(tmp_path: Path) -> None:
    repository, link = tmp_path / "repository", tmp_path / "link"
    (repository / "localhost/logs").mkdir(parents=True)
    (repository / "logs").symlink_to("localhost/logs")
    link.symlink_to(repository)
    written(link, DEEP, b"x\n")
    assert (repository / "localhost" / DEEP).read_bytes() == b"x\n"


def test_a_repository_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        create(tmp_path / "not mounted", DEEP)
    assert not (tmp_path / "not mounted").exists()


@pytest.mark.parametrize("path", ["logs", "logs/00", str(DEEP)])
def test_a_refusal_leaves_no_descriptor_open(tmp_path: Path, path: str) -> None:
    blocked = tmp_path / path
    blocked.parent.mkdir(parents=True, exist_ok=True)
    if path == str(DEEP):
        blocked.mkdir()
    else:
        blocked.write_text("a file in the way")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError):
        create(tmp_path, DEEP)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
