"""docs/configuration.md names everything that can be configured."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler_bridge.model.agents import Special
from scheduler_bridge.settings import TABLE, Setting, Settings
from scheduler_bridge.stream_file import JOB_KEYS, STREAM_KEYS

TEXT = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text("utf-8")


@pytest.mark.parametrize("setting", TABLE, ids=lambda setting: setting.name)
def test_each_setting_is_there_with_its_variables_and_default(setting: Setting) -> None:
    row = next(row for row in TEXT.split("\n") if row.startswith(f"| `{setting.name}` "))
    assert all(f"`{name}`" in row for name in setting.environment)
    described = Settings.read({}, {}, None, hostname="this-host").describe()
    text, origin = next(rest for name, *rest in described if name == setting.name)
    assert text in row or origin == "hostname"


@pytest.mark.parametrize("key", [*STREAM_KEYS, *JOB_KEYS])
def test_each_key_of_a_stream_file_is_there(key: str) -> None:
    assert f"| `{key}` |" in TEXT


@pytest.mark.parametrize("special", Special)
def test_each_flag_of_an_agent_type_is_there(special: Special) -> None:
    assert f"`{special.value}`" in TEXT
