"""What programs do with their paths while no supervisor is there to answer."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from rig import wait
from rig.hosts.keeper_line import KeeperLine, spawn

REMOVES = """
import os, sys, time
while not os.path.exists(sys.argv[2]):
    time.sleep(0.01)
open(sys.argv[3], "w").close()
os.unlink(sys.argv[1])
"""
KEY = "app/1/0/1"


@pytest.mark.parametrize("returns", [True, False], ids=["soon", "never"])
def test_a_path_is_not_removed_at_once(
    keeper: KeeperLine, tmp_path: Path, returns: bool
) -> None:
    """An unlink waits for the next supervisor a while: clients connect meanwhile."""
    path, go, begun = (tmp_path / name for name in ("app.sock", "go", "begun"))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        meta = {"path": str(path), "beside": ""}
        keeper.send({"op": "hold", "name": "socket/app", "meta": meta}, sock.fileno())
    argv = [sys.executable, "-c", REMOVES, *map(str, (path, go, begun))]
    keeper.send(spawn(argv=argv, filtered=True, paths=True))
    pid = keeper.receive()["pid"]
    keeper.channel.close()
    go.touch()
    wait.until(begun.exists, "the program to remove its path")
    calls = ("87", "263", "35")  # unlink and unlinkat, on each machine

    def removes() -> bool:
        words = Path(f"/proc/{pid}/syscall").read_text().split()
        return words[0] in calls

    if os.geteuid() == 0:
        wait.until(removes, "the call to wait")
    assert path.exists()
    if not returns:
        wait.until(lambda: not path.exists(), "the path to be gone in the end")
        keeper.connect_again()
        return
    keeper.connect_again()
    asked = [m for m in keeper.announced if m["event"] == "unlink"]
    asked = asked or [keeper.receive()]
    assert (asked[0]["event"], asked[0]["path"]) == ("unlink", str(path))
    answer = {"op": "answer", "key": KEY, "id": asked[0]["id"], "action": "done"}
    keeper.send(answer)
    while (message := keeper.receive())["event"] != "ended":
        assert message["event"] in ("unlink", "emptied")
    assert message["status"] == 0
    assert path.exists()


BINDS_AND_REMOVES = """
import os, socket, sys, threading
sock = socket.socket(socket.AF_UNIX)
threading.Thread(target=sock.bind, args=[sys.argv[1]]).start()
while not os.path.exists(sys.argv[1]):
    pass
os.unlink(sys.argv[1])
"""


def test_a_path_that_is_being_bound_is_not_removed(
    keeper: KeeperLine, tmp_path: Path
) -> None:
    """The supervisor has bound it for one instance, and the keeper does not hold it yet.

    Another one sees it, as puma does before it binds, and takes it for left over.
    """
    path = tmp_path / "app.sock"
    argv = [sys.executable, "-c", BINDS_AND_REMOVES, str(path)]
    keeper.send(spawn(argv=argv, filtered=True, paths=True))
    while (bind := keeper.receive())["event"] != "bind":
        assert bind["event"] == "spawned"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    asked = keeper.receive()
    assert (asked["event"], asked["path"]) == ("unlink", str(path))
    for call in (asked, bind):
        answer = {"op": "answer", "key": KEY, "id": call["id"], "action": "done"}
        keeper.send(answer)
    while (message := keeper.receive())["event"] != "ended":
        assert message["event"] == "emptied"
    assert path.exists()
