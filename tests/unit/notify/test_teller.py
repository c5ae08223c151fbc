"""A target is told of each event once, whenever the process that tells it ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gapless.base import clock
from gapless.base.names import Home
from gapless.notify import rollout_events, teller
from gapless.notify.memory import Memory
from gapless.notify.memory_file import MemoryFile
from gapless.notify.model import Event, Kind, Target, Webhook
from gapless.notify.teller import Teller
from gapless.push.outcome import Outcome, Stage
from rig.receivers.webhook import WebhookReceiver, status
from rig.wait import free_port, until


class Telling:
    """A home with a log, and a teller that runs in it until told to end."""

    def __init__(self, directory: Path) -> None:
        self.home = Home(str(directory))
        self.file = MemoryFile(self.home, "ops")
        self.file.save(Memory())  # from the beginning of the log
        self.said: list[str] = []
        self.others: Callable[[Memory], list[Event]] = lambda _: []
        Path(self.home.own_log).parent.mkdir(parents=True, exist_ok=True)

    def write(self, **line: Any) -> None:
        """Append a line to the log."""
        line |= {"time": clock.stamp(clock.wall()), "app": "shop"}
        with Path(self.home.own_log).open("a") as file:
            file.write(json.dumps(line) + "\n")

    def start(self, url: str, **changes: Any) -> Teller:
        """Begin to tell a URL."""
        found = Teller(
            self.home,
            Target(name="ops", way=Webhook(url=url), kinds=frozenset(Kind), **changes),
            others=self.others,
            complain=self.said.append,
        )
        found.thread.start()
        return found

    def memory(self) -> Memory:
        """Return what is in the file."""
        return self.file.load() or Memory()


@pytest.fixture
def telling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Telling:
    """Return a home to tell of."""
    monkeypatch.setattr(teller, "LOOK_S", 0.01)
    return Telling(tmp_path)


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    """Return a receiver that takes everything."""
    found = WebhookReceiver(status(200))
    yield found
    found.close()


def _has(receiver: WebhookReceiver, count: int) -> bool:
    return len(receiver.bodies) == count


def end(found: Teller) -> None:
    """End a teller."""
    found.ends.set()
    found.thread.join(20)
    assert not found.thread.is_alive()


def test_what_is_being_tried_at_the_end_is_told_by_the_next_one(
    telling: Telling, receiver: WebhookReceiver
) -> None:
    """Also if a rollout is there to be remembered."""

    def others(memory: Memory) -> list[Event]:
        memory.rollouts["shop"] = "1.1 held"
        return []

    telling.write(event="gave-up", reason="it crashed")
    telling.others = others
    first = telling.start(f"http://127.0.0.1:{free_port()}/", disk_free_bytes=0)
    until(lambda: bool(telling.said), "an attempt that fails")
    end(first)
    assert telling.memory().gave_up == {}
    second = telling.start(receiver.url)
    until(lambda: bool(telling.memory().gave_up), "the event to be told")
    end(second)
    assert [each["kind"] for each in receiver.bodies] == ["gave-up"]


def test_what_others_tell_and_could_not_is_told_by_the_next_one(
    telling: Telling,
) -> None:
    """What is remembered of it would have silenced it."""

    def others(memory: Memory) -> list[Event]:
        if memory.rollouts:
            return []
        memory.rollouts["shop"] = "1.1 held"
        at = clock.stamp(clock.wall())
        return [Event(identity="r", kind=Kind.HELD, app="shop", text="held", at=at)]

    telling.others = others
    first = telling.start(f"http://127.0.0.1:{free_port()}/", disk_free_bytes=0)
    until(lambda: bool(telling.said), "an attempt that fails")
    end(first)
    assert telling.memory().rollouts == {}


def test_an_upload_that_is_refused_again_is_told_again(
    telling: Telling, receiver: WebhookReceiver
) -> None:
    """Its name is the one of the first: what was told is another event."""
    folder = "/srv/shop/outcomes"
    stamps: list[str] = []

    def others(memory: Memory) -> list[Event]:
        outcomes = [
            Outcome(upload="shop.tar.gz", app="shop", stage=Stage.REFUSED, at=at)
            for at in stamps[-1:]
        ]
        return rollout_events.of_uploads({folder: outcomes}, memory)

    telling.others = others
    found = telling.start(receiver.url, disk_free_bytes=0)
    until(lambda: bool(telling.memory().sources), "the first look")
    for count in (1, 2):
        stamps.append(clock.stamp(clock.wall() + count))
        until(partial(_has, receiver, count), "the event")
    end(found)
    assert len({each["id"] for each in receiver.bodies}) == 2


def test_what_was_looked_at_is_saved_on_a_quiet_log(telling: Telling) -> None:
    """The next process knows then what is news."""

    def others(memory: Memory) -> list[Event]:
        memory.looked_at("rollouts of shop")
        return []

    telling.others = others
    found = telling.start("http://127.0.0.1:1/", disk_free_bytes=0)
    until(lambda: bool(telling.memory().sources), "what was looked at")
    end(found)


def test_an_emptied_log_is_said_once(telling: Telling) -> None:
    """The place is moved and saved at once."""
    telling.write(event="x")
    found = telling.start("http://127.0.0.1:1/", disk_free_bytes=0)
    until(lambda: telling.memory().place.offset > 0, "the line")
    Path(telling.home.own_log).write_bytes(b"")
    until(lambda: telling.memory().place.offset == 0, "the emptied log")
    telling.write(event="x")
    until(lambda: telling.memory().place.offset > 0, "the next line")
    end(found)
    assert telling.said == ["notify.ops: lines of the log went before they were read"]
