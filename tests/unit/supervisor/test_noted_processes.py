"""A command knows whether instances outlived all of gapless."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gapless.base.names import Home
from gapless.supervisor.kernel import processes
from gapless.supervisor.noted_processes import any_lives


def test_a_process_of_a_note_lives(tmp_path: Path) -> None:
    """It is the one of that number that started then, in this boot."""
    assert not any_lives(Home(str(tmp_path)))
    own = processes.read(os.getpid())
    assert own is not None
    mine = {"pid": own.pid, "leader_ticks": own.start_ticks, "leader_alive": True}
    assert lives(tmp_path, [mine])
    assert not lives(tmp_path, [mine | {"leader_ticks": own.start_ticks - 1}])
    assert not lives(tmp_path, [mine | {"leader_alive": False}])
    assert not lives(tmp_path, [mine | {"pid": 0}])
    assert not lives(tmp_path, [])
    assert not lives(tmp_path, [mine], boot="another")


@pytest.mark.parametrize(
    "text",
    [
        *("", "[", "[]", "{}", "7", '{"boot": "%s"}', '{"boot": "%s", "app": []}'),
        '{"boot": "%s", "app": {"generations": [{"instances": ["x", null, {}]}]}}',
        '{"boot": "%s", "app": {"generations": {"instances": 1}}}',
        '{"boot": "%s", "app": {"generations": [{"instances": [{"pid": "1"}]}]}}',
        '{"boot": "%s", "app": {"generations": [{"instances": [{"pid": 1e99}]}]}}',
    ],
)
def test_what_is_no_note_counts_for_nothing(tmp_path: Path, text: str) -> None:
    """The next supervisor says what is wrong with it."""
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "app.json").write_text(text.replace("%s", processes.boot_id()))
    assert not any_lives(Home(str(tmp_path)))


def lives(home: Path, instances: list[dict[str, Any]], boot: str = "") -> bool:
    """Return whether one of the instances lives, if a note has them."""
    note = {
        "boot": boot or processes.boot_id(),
        "app": {"generations": [{"instances": instances}]},
    }
    (home / "notes").mkdir(exist_ok=True)
    (home / "notes" / "app.json").write_text(json.dumps(note))
    return any_lives(Home(str(home)))
