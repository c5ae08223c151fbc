"""What the keeper makes of messages that no supervisor of this version sends."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rig.hosts import limits
from rig.hosts.keeper_line import KeeperLine, raw, spawn
from rig.wait import until

DEEP = 100_000
OUT_OF_DESCRIPTORS = ("too many open files", "place its descriptors")
"""The second: the program has no number for them."""
TEN_MB = 10 << 20


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeeperLine]:
    """Return a keeper that all wrong messages are sent to."""
    line = KeeperLine(tmp_path_factory.mktemp("patient") / "home")
    try:
        yield line
    finally:
        line.close()
    assert line.errors() == ""


def without(name: str) -> dict[str, Any]:
    """Return a spawn message that lacks a field."""
    message = spawn()
    del message[name]
    return message


WRONG: dict[str, tuple[Any, int, str]] = {
    # name: the message, how many descriptors go with it, and what the answer names
    "no JSON": (b"nonsense", 0, "Expecting value"),
    "half of it": (raw(spawn())[:40], 0, "Unterminated"),
    "not UTF-8": (b'{"op": "note", "name": "\xff\xfe"}', 0, "codec can't decode"),
    "a list": (b"[1, 2]", 0, "not an object"),
    "too deep": (b"[" * 50_000, 0, "nested too deeply"),
    "too deep an object": (b'{"a":' * 9_000, 0, "nested too deeply"),
    "too long": (b"[" + b"1," * 40_000, 0, "cut short"),
    "a huge number": (b'{"op": ' + b"9" * 5_000 + b"}", 0, "integer string conversion"),
    "nothing": ({}, 0, "there is no op None"),
    "no op": ({"name": "x"}, 0, "there is no op None"),
    "another op": ({"op": "rewind"}, 0, "there is no op rewind"),
    "an op of another type": ({"op": ["spawn"]}, 0, "there is no op"),
    "hold of nothing": ({"op": "hold", "name": "x"}, 0, "0 descriptors"),
    "hold of two": ({"op": "hold", "name": "x"}, 2, "2 descriptors"),
    "hold without a name": ({"op": "hold"}, 1, "name is missing"),
    "hold by a number": ({"op": "hold", "name": 5}, 1, "hold.name is 5"),
    "release of a list": ({"op": "release", "name": []}, 0, "release.name"),
    "note without a name": ({"op": "note", "value": 1}, 0, "name is missing"),
    "forget nothing": ({"op": "forget"}, 0, "key is missing"),
    "forget a number": ({"op": "forget", "key": 7}, 0, "forget.key is 7"),
    "answer to nothing": ({"op": "answer", "key": "app"}, 0, "id, action is missing"),
    "answer in words": (
        {"op": "answer", "key": "a", "id": "one", "action": "done"},
        0,
        "answer.id",
    ),
    "spawn of nothing": ({"op": "spawn"}, 0, "spawn.key"),
    **{
        f"spawn without {name}": (without(name), 0, name)
        for name in ("argv", "environment", "directory", "filtered", "log")
    },
    "spawn an empty command": (spawn(argv=[]), 0, "the command is empty"),
    "spawn a text": (spawn(argv="true"), 0, "spawn.argv"),
    "spawn a number": (spawn(argv=["sleep", 5]), 0, "spawn.argv[1]"),
    "more targets than descriptors": (spawn(targets=[3, 4]), 1, "spawn.targets"),
    "fewer targets": (spawn(targets=[]), 1, "spawn.targets"),
    "one target twice": (spawn(targets=[3, 3]), 2, "spawn.targets"),
    "stdout as a target": (spawn(targets=[1]), 1, "spawn.targets"),
    "a target beyond all": (spawn(targets=[10**9]), 1, "spawn.targets"),
    "NUL in argv": (spawn(argv=["true", "a\0b"]), 0, "spawn.argv[]"),
    "NUL in a value": (
        spawn(environment={"A": "\0"}),
        0,
        "spawn.environment.A",
    ),
    "NUL in a name": (spawn(environment={"A\0": ""}), 0, "a key of spawn.environment"),
    "NUL in the directory": (spawn(directory="/\0"), 0, "spawn.directory"),
    "NUL in the user": (spawn(user="\0"), 0, "spawn.user"),
    "NUL in a path of a log": (
        spawn(log={"output": "/tmp/\0"}),
        0,
        "spawn.log.output",
    ),
    "NUL in a date": (spawn(log={"date_format": "%H\0"}), 0, "spawn.log.date_format"),
    "half a character": (spawn(environment={"A": "\ud800"}), 0, "spawn.environment.A"),
    "a name with =": (spawn(environment={"A=B": "x"}), 0, "illegal environment"),
    "no such directory": (spawn(directory="/nowhere"), 0, "enter the directory"),
    "no such user": (spawn(user="nobody at all"), 0, "find the user"),
    "no such program": (spawn(argv=["no-such-program"]), 0, "run no-such-program"),
    "an argument of 10 MB": (spawn(argv=["true", "x" * TEN_MB]), 0, "run true"),
    "a variable of 10 MB": (spawn(environment={"A": "x" * TEN_MB}), 0, "run true"),
    "a program of 10 MB": (spawn(argv=["x" * TEN_MB]), 0, "run xxx"),
    "an unknown limit": (spawn(limits={"luck": 1}), 0, "spawn.limits"),
    "a limit in words": (spawn(limits={"open_files": "many"}), 0, "spawn.limits"),
    "a limit beyond all": (
        spawn(limits={"open_files": 10**30}),
        0,
        "spawn.limits.open_files",
    ),
    "a log that is a list": (spawn() | {"log": []}, 0, "spawn.log"),
    "a size in words": (spawn(log={"rotate_bytes": "1M"}), 0, "spawn.log.rotate_bytes"),
}


@pytest.mark.parametrize("name", WRONG)
def test_no_message_ends_the_keeper(patient: KeeperLine, name: str) -> None:
    """A message that is wrong is answered, what is wrong is named, and nothing stays."""
    keeper = patient
    message, count, named = WRONG[name]
    before = keeper.descriptors()
    with socket.socket() as sock:
        keeper.send(message, *[sock.fileno()] * count)
    answer = keeper.receive()  # what takes long is answered later
    assert keeper.until_answered() == []
    if isinstance(message, dict) and message.get("op") == "spawn" and "key" in message:
        assert (answer["event"], answer["key"]) == ("refused", "app/1/0/1")
        keeper.send({"op": "forget", "key": "app/1/0/1"})
    else:
        assert answer["event"] == "misunderstood"
    assert named in answer["reason"], answer
    assert len(answer["reason"]) <= 2100
    assert keeper.descriptors() == before
    keeper.connect_again()
    assert keeper.announced == []


def a_pipe() -> int:
    """Return the read end of a pipe that nobody writes to."""
    read_end, write_end = os.pipe()
    os.close(write_end)
    return read_end


def a_memory(content: bytes = b"", size_bytes: int = 0) -> Callable[[], int]:
    """Return what makes a memfd."""

    def make() -> int:
        memory = os.memfd_create("test")
        os.write(memory, content)
        if size_bytes:
            os.truncate(memory, size_bytes)
        return memory

    return make


@pytest.mark.parametrize(
    "make",
    [
        a_pipe,
        lambda: socket.socket().detach(),
        a_memory(),
        a_memory(b"garbage"),
        a_memory(b'{"op": '),
        a_memory(b"[" * DEEP),
        a_memory(b"{}", size_bytes=1 << 40),
    ],
    ids=["pipe", "socket", "empty", "garbage", "half", "deep", "a terabyte"],
)
def test_a_large_message_that_is_none_is_answered(
    patient: KeeperLine, make: Callable[[], int]
) -> None:
    """A large message travels in a memfd: what is in it may be anything."""
    keeper = patient
    before = keeper.descriptors()
    descriptor = make()
    keeper.send(b"{}", descriptor)
    os.close(descriptor)
    (answer,) = keeper.until_answered()
    assert answer["event"] == "misunderstood"
    assert keeper.descriptors() == before


def test_fields_of_a_newer_version_are_left_alone(keeper: KeeperLine) -> None:
    """A newer supervisor may say more; the program is started."""
    message = spawn(colour="blue", log={"compress": True})
    keeper.send(message)
    kinds = [answer["event"] for answer in keeper.until_answered()]
    while "ended" not in kinds:
        kinds.append(keeper.receive()["event"])
    assert kinds == ["spawned", "ended"]
    keeper.send({"op": "forget", "key": message["key"], "why": "it ended"})
    assert keeper.until_answered() == []


def test_a_note_of_ten_megabytes_comes_back(keeper: KeeperLine) -> None:
    """What the keeper remembers may be large, and be no text."""
    value = {"variable": "x" * TEN_MB, "shell": "\udcff"}
    keeper.send({"op": "note", "name": "app/large", "value": value})
    assert keeper.until_answered() == []
    keeper.connect_again()
    assert [each["value"] for each in keeper.announced] == [value]


def test_descriptors_are_closed_with_every_log_that_is_used_no_more(
    keeper: KeeperLine, tmp_path: Path
) -> None:
    """Each program has a log path of its own, and the keeper closes it at the end."""
    before = keeper.descriptors()
    for number in range(5):
        key = f"app/{number}/0/{number}"
        path = str(tmp_path / f"{number}.log")
        keeper.send(spawn(key, argv=["echo", "x"], log={"output": path, "error": path}))
        while keeper.receive()["event"] != "ended":
            pass
        keeper.send({"op": "forget", "key": key})
    assert keeper.until_answered() == []
    assert keeper.descriptors() == before
    assert len(list(tmp_path.glob("*.log"))) == 5


# --- out of descriptors ---------------------------------------------------------------


@pytest.mark.parametrize("free", range(12))
def test_a_spawn_without_descriptors_is_refused(keeper: KeeperLine, free: int) -> None:
    """Wherever they run out, the reason is sent, nothing stays, and the line is kept."""
    before = keeper.descriptors()
    limits.leave_free(keeper.pid, free)
    with socket.socket() as sock:
        keeper.send(spawn(targets=[3, 4]), sock.fileno(), sock.fileno())
    answers = keeper.until_answered()
    if answers[0]["event"] == "refused":
        assert answers[0]["reason"].lower().startswith(OUT_OF_DESCRIPTORS)
        until(lambda: keeper.descriptors() == before, "nothing stays")
    else:
        assert answers[0]["event"] == "spawned"
    limits.unlimited(keeper.pid)
    keeper.send(spawn("app/1/0/2"))
    (first, *_) = keeper.until_answered()
    assert first["event"] in ("spawned", "ended")


def test_a_hold_without_descriptors_is_answered(keeper: KeeperLine) -> None:
    """The earlier descriptor of that name is held on."""
    with socket.socket() as sock:
        keeper.send({"op": "hold", "name": "socket/a"}, sock.fileno())
        assert keeper.until_answered() == []
        for free in (0, 1):
            limits.leave_free(keeper.pid, free)
            keeper.send({"op": "hold", "name": "socket/a"}, sock.fileno())
            (answer,) = keeper.until_answered()
            assert (answer["op"], answer["name"]) == ("hold", "socket/a")
            assert "too many open files" in answer["reason"].lower()
    keeper.connect_again()
    assert [each["name"] for each in keeper.announced] == ["socket/a"]


def test_a_keeper_without_descriptors_announces_all_that_it_holds(
    keeper: KeeperLine,
) -> None:
    """A new supervisor gets every socket, child and note, also of 100 KB."""
    with socket.socket() as sock:
        for number in range(300):
            keeper.send({"op": "hold", "name": f"socket/{number}"}, sock.fileno())
    keeper.send(spawn(argv=["sleep", "1000"]))
    note = {"op": "note", "name": "app/large", "value": "x" * 100_000}
    keeper.send(note)
    keeper.until_answered()
    limits.leave_free(keeper.pid, 0)
    keeper.connect_again()
    kinds = [each["event"] for each in keeper.announced]
    assert kinds.count("held") == 300
    assert kinds[-2:] == ["note", "spawned"]
    (child,) = (each["pid"] for each in keeper.announced if "pid" in each)
    os.kill(child, 9)
    assert keeper.receive()["event"] == "ended"
