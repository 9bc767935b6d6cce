"""Who this process is, beside who it should be."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest

from scheduler_bridge.configuration.folder import Configuration
from scheduler_bridge.configuration.identity import identity_problems

ME = pwd.getpwuid(os.geteuid()).pw_name
MINE = grp.getgrgid(os.getegid()).gr_name
ANOTHER = next(entry.pw_name for entry in pwd.getpwall() if entry.pw_uid != os.geteuid())
MY_GROUPS = {os.getegid(), *os.getgroups()}
FOREIGN = next(entry.gr_name for entry in grp.getgrall() if entry.gr_gid not in MY_GROUPS)


@pytest.mark.parametrize(
    ("user", "group", "said"),
    [
        (None, None, []),
        (ME, MINE, []),
        (ANOTHER, MINE, [f"PROJECTUSER is {ANOTHER}: start the processes as that user"]),
        (ME, FOREIGN, [f"PROJECTGROUP is {FOREIGN}: start the processes in that group"]),
        ("no such user", None, ["PROJECTUSER is no such user: start the processes as that user"]),
        (None, "no such group", ["PROJECTGROUP is no such group: start the processes in that group"]),
    ],
)
def test_another_user_or_group_than_the_folder_s_is_a_warning(
    user: str | None, group: str | None, said: list[str]
) -> None:
    problems = identity_problems(Configuration(Path("conf"), {}, {}, user=user, group=group))
    assert [problem.message for problem in problems] == said
    assert all(problem.warning and problem.source == "conf/fossology.conf" for problem in problems)
