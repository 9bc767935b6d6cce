"""The group [REPOSITORY] of `fossology.conf`, which agents read: checked here, as today's scheduler does, so that none
of them finds it broken in the middle of a job."""

from __future__ import annotations

import re

from scheduler_bridge.configuration.problem import shown
from scheduler_bridge.configuration.reader import Reader

GROUP = "REPOSITORY"
RANGE = re.compile(r"\s*(?:\*|gold|files|logs|license|test)\s+([0-9a-fA-F]+)\s+([0-9a-fA-F]+)\s*")


def check_repository(main: Reader) -> None:
    """Note an error for each line that is not `HOST[] = KIND FIRST LAST`, two hexadecimal numbers in order."""
    group = main.document.groups.get(GROUP)
    for name, entry in group.keys.items() if group else ():
        if isinstance(entry.value, str):
            main.refuse(entry.line, f"the repository of {name} is a list: write {name}[] = * 00 ff")
            continue
        for item, line in zip(entry.value, entry.lines, strict=True):
            found = RANGE.fullmatch(item)
            if found is None or int(found[1], 16) >= int(found[2], 16):
                main.refuse(line, f"the repository of {name} must be written '* 00 ff', not {shown(item)}")
