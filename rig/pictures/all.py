"""Every picture of the pages.  `python -m rig.pictures.all` writes them anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rig.hosts.host import ROOT
from rig.pictures.drawing import Drawing

DIRECTORY = ROOT / "docs" / "images"


def processes() -> Drawing:
    """Draw the processes of one host."""
    it = Drawing(760, 430, "The processes of one host")
    it.box((20, 30, 170, 56), "gapless reload\na command", "")
    it.box((290, 30, 200, 56), "gapless supervise\ndecides", "ours")
    it.arrow((190, 58), (288, 58))
    it.note(206, 50, "one request")
    it.group((270, 120, 240, 170), "hold what must not be lost")
    it.box((290, 150, 200, 52), "gapless keeper\nparent of all instances", "ours")
    it.box((290, 222, 200, 52), "gapless guardian\na copy of all of it", "ours")
    it.arrow((465, 86), (465, 148))
    it.arrow((390, 202), (390, 220))
    it.note(530, 62, "may die and be replaced at any\nmoment: apps serve on")
    it.note(530, 172, "listening sockets, log pipes,\nnotes; starts programs")
    it.note(530, 244, "a dead keeper's place is taken;\nnothing of it is lost")
    it.box((60, 340, 150, 56), "instance\ngeneration 1", "old")
    it.box((230, 340, 150, 56), "instance\ngeneration 2", "new")
    it.box((400, 340, 150, 56), "instance\nof another app", "")
    for x in (135, 305, 475):
        it.arrow((340, 292), (x, 338), dotted=True)
    it.arrow((720, 368), (552, 368))
    it.note(566, 358, "requests come from the")
    it.note(566, 388, "kernel, never through us")
    return it


def handoff() -> Drawing:
    """Draw the steps of a handoff."""
    it = Drawing(760, 360, "A handoff: four moments")
    steps = [
        ("1  start", "The new generation starts\nbeside the old one."),
        ("2  switch", "It is ready: the kernel gives it\nevery new connection."),
        ("3  prove", "Watched. Should it fail, the\nold one takes over again."),
        ("4  drain", "The old one ends what it has,\nidle connections are moved."),
    ]
    new_goes = [False, True, True, True]
    for i, (name, text) in enumerate(steps):
        x = 10 + i * 188
        it.head(x + 4, 26, name)
        it.note(x + 4, 48, text)
        it.box((x + 30, 100, 110, 40), "clients", "")
        it.box((x + 4, 214, 76, 56), "old\nserves", "old")
        it.box((x + 96, 214, 76, 56), "new\n" + ("serves" if i else "starts"), "new")
        middle = x + 85
        if new_goes[i]:
            it.arrow((middle + 10, 142), (x + 134, 212))
            it.arrow((middle - 10, 142), (x + 42, 212), dotted=True)
        else:
            it.arrow((middle - 10, 142), (x + 42, 212))
    it.note(
        14, 310, "solid: new connections    dotted: connections that are open already"
    )
    it.note(
        14,
        334,
        "A step that fails ends the new generation; the old one has never stopped.",
    )
    return it


def takeover() -> Drawing:
    """Draw what becomes of a kept connection."""
    it = Drawing(760, 330, "A kept connection in a takeover")
    it.box((20, 60, 130, 56), "client\nnever pauses", "")
    it.box((280, 30, 150, 56), "old process\nends", "old")
    it.box((280, 130, 150, 56), "gapless relay\nholds a duplicate", "ours")
    it.box((600, 130, 140, 56), "new process", "new")
    it.arrow((150, 78), (278, 52), dotted=True)
    it.arrow((150, 98), (278, 152))
    it.arrow((430, 158), (598, 158))
    it.note(150, 40, "its requests so far")
    it.note(150, 168, "its next request")
    it.note(434, 146, "once, and the answer back,")
    it.note(434, 182, "with Connection: close")
    it.note(
        20,
        230,
        "1  The relay parks the connection: what comes does not wake the old process.\n"
        "2  The old process has answered all that it had read: the next request is taken.\n"
        "3  The client gets its answer and opens a new connection, which is the new "
        "process's.\n"
        "4  In doubt the connection is given back: the old process answers once more.",
    )
    return it


def fleet() -> Drawing:
    """Draw a fleet that changes to a release."""
    it = Drawing(760, 380, "A rollout: hosts pull, a few at a time")
    it.box((20, 40, 160, 56), "gapless push\nlaptop or CI", "")
    it.box((280, 40, 200, 56), "release server\nbuilds, seals, signs", "ours")
    it.box((560, 40, 180, 56), "shared record\nwhat is wanted, slots", "ours")
    it.arrow((180, 68), (278, 68))
    it.arrow((480, 68), (558, 68))
    it.group((20, 166, 720, 104), "")
    it.note(36, 262, "hosts: each has an agent that pulls")
    for i, (name, state, kind) in enumerate(
        [
            ("host a", "runs the new one", "new"),
            ("host b", "has a slot, hands over", "new"),
            ("host c", "waits for a slot", "old"),
            ("host d", "waits for a slot", "old"),
        ]
    ):
        x = 36 + i * 176
        it.box((x, 186, 160, 60), f"{name}\n{state}", kind)
        it.arrow((x + 80, 184), (640, 98), dotted=True)
    it.note(
        20,
        310,
        "Nobody is in charge: each host takes a slot, hands over, watches, reports.",
    )
    it.note(
        20,
        334,
        "The first failure turns the rollout back; hosts without a slot never changed.",
    )
    return it


PICTURES: dict[str, Callable[[], Drawing]] = {
    "processes.svg": processes,
    "handoff.svg": handoff,
    "takeover.svg": takeover,
    "fleet.svg": fleet,
}


def write(directory: Path = DIRECTORY) -> None:
    """Write every picture."""
    directory.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        (directory / name).write_text(draw().svg())


if __name__ == "__main__":
    write()
