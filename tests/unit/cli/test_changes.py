"""What a reload would change is named as a gapless.toml has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gapless.cli.display import changes
from gapless.config.reference import keys
from gapless.config.toml import tables
from gapless.supervisor.memory.spec import AppSpec


def app(directory: Path, text: str) -> AppSpec:
    """Return the app that a file declares."""
    file = directory / "gapless.toml"
    file.write_text(f'[app.a]\ncommand = "true"\n{text}\n')
    return tables.load(str(file), {"PATH": "/usr/bin:/bin"}).apps["a"]


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ("", "log = { rotate_mb = 20 }", ("log.rotate_mb", 10, 20)),
        ("", "log = { rotate_hours = 2 }", ("log.rotate_hours", 0, 2)),
        ("", "renew = { memory_mb = 5 }", ("renew.memory_mb", 0, 5)),
        ("", "limits = { memory_mb = 64 }", ("limits.memory_mb", None, 64)),
        ("limits = { core_mb = 1 }", "", ("limits.core_mb", 1, None)),
        ("", "stop = { drain_timeout_s = 5 }", ("stop.drain_timeout_s", 30, 5)),
        ("", 'environment_file = "-.env"', ("environment_file", [], ["-.env"])),
    ],
)
def test_a_change_has_the_name_and_the_unit_of_the_file(
    tmp_path: Path, before: str, after: str, change: tuple[str, object, object]
) -> None:
    """Not those of the record that is kept."""
    one, two = app(tmp_path, before), app(tmp_path, after)
    key, old, new = change
    assert changes.between(one, two, ()) == [{"key": key, "old": old, "new": new}]
    assert tuple(key.split(".")) in set(keys.walk(keys.TABLES[0].schema))


def test_another_directory_is_one_change(tmp_path: Path) -> None:
    """As it is written down; where its links lead follows from that."""
    (tmp_path / "b").mkdir()
    one, two = app(tmp_path, ""), app(tmp_path, 'directory = "b"')
    (found,) = changes.between(one, two, ())
    assert found == {"key": "directory", "old": str(tmp_path), "new": f"{tmp_path}/b"}
