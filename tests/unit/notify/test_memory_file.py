"""What a target remembers, and that one process at a time tells it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from gapless.base.names import Home
from gapless.notify.memory import MOST_TOLD, Memory, Place
from gapless.notify.memory_file import MemoryFile


@pytest.fixture
def file(tmp_path: Path) -> MemoryFile:
    """Return the file of a target."""
    return MemoryFile(Home(str(tmp_path / "home")), "ops")


def test_what_is_remembered_is_read_again(file: MemoryFile) -> None:
    """All of it."""
    assert file.load() is None
    memory = Memory(
        place=Place(device=1, inode=2, offset=3, head="x", head_bytes=4),
        restarts={"shop": [1.5]},
        rollouts={"shop": "1.1 held"},
        outcomes={"/srv/outcomes": {"shop/1.tar.gz": "refused"}},
        sources=["rollouts of shop"],
        is_disk_low=True,
        given_up=2,
    )
    for number in range(2 * MOST_TOLD):
        memory.remember(str(number))
    file.save(memory)
    assert file.load() == memory
    assert len(memory.told) == MOST_TOLD


@pytest.mark.parametrize(
    "content", ["", "7", "{", '{"told": 7}', '{"version": 2}', '{"place": null}']
)
def test_what_is_none_of_ours_is_refused(file: MemoryFile, content: str) -> None:
    """The target begins anew then, and says so."""
    file.save(Memory())
    Path(file.path).write_text(content)
    with pytest.raises(ValueError):  # noqa: PT011 - each content has words of its own
        file.load()


def test_one_process_tells_a_target(file: MemoryFile) -> None:
    """Another one has it when the first has ended, however it did."""
    owner = Path(file.path).with_suffix(".owner")
    assert file.take()
    assert file.take()
    own = json.loads(owner.read_text())
    assert own["pid"] == os.getpid()
    with subprocess.Popen(["sleep", "600"]) as other:
        ticks = Path(f"/proc/{other.pid}/stat").read_text().rpartition(") ")[2].split()
        owner.write_text(
            json.dumps(own | {"pid": other.pid, "start_ticks": int(ticks[19])})
        )
        assert not file.take()
        file.give_up()  # it is not ours to give
        assert not file.take()
        other.kill()
        other.wait()
        assert file.take()
    file.give_up()
    assert owner.read_bytes() == b""


@pytest.mark.parametrize(
    "changes",
    [{"boot": "another"}, {"start_ticks": 1}, {"pid": -1}, {"pid": 1 << 40}],
)
def test_an_owner_that_is_not_there_keeps_nobody_away(
    file: MemoryFile, changes: dict[str, object]
) -> None:
    """Its pid may be that of another process by now."""
    owner = Path(file.path).with_suffix(".owner")
    assert file.take()
    own = json.loads(owner.read_text())
    owner.write_text(json.dumps(own | {"pid": os.getppid()} | changes))
    assert file.take()


@pytest.mark.parametrize("content", ["", "7", "{", '{"pid": "x"}', "x" * 5000])
def test_an_owner_that_cannot_be_read_is_nobody(file: MemoryFile, content: str) -> None:
    """A host may lose power in the middle of a line."""
    assert file.take()
    Path(file.path).with_suffix(".owner").write_text(content)
    assert file.take()
