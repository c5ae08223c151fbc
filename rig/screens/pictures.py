"""Draw the pictures of docs/screen.md: a real host, apps under load, a release under way.

    python -m rig.screens.pictures docs/images

They are looked at before they are committed.
"""

from __future__ import annotations

import asyncio
import io
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text
from textual.pilot import Pilot

from gapless.cli.progress import drawing, model
from gapless.cli.progress.model import Line, Mood
from gapless.cli.tui.screen import TopScreen
from gapless.client import Client
from rig.hosts.host import APPS, Host, temporary_host
from rig.load import engine
from rig.load.process import run_load
from rig.sigterm import clean_up_at_sigterm
from rig.wait import free_port

SIZE = (100, 30)
LOOKS_S = 14.0
FOREIGN = re.compile(r"@font-face \{.*?\}", re.DOTALL)
"""A picture of ours asks no other machine for its letters."""


def main() -> None:
    """Draw them into a directory."""
    directory = Path(sys.argv[1])
    directory.mkdir(exist_ok=True)
    _write(directory / "progress.svg", _progress())
    with temporary_host("gapless-pictures-") as host:
        ports = _start(host)
        for theme in ("textual-dark", "textual-light"):
            with run_load(ports[0], engine.NEW, engine.POST):
                name = "top" if theme.endswith("dark") else "top-light"
                _write(directory / f"{name}.svg", asyncio.run(_top(host, theme)))


def _start(host: Host) -> list[int]:
    ports = [free_port() for _ in range(3)]
    tables = []
    for name, port, count in zip(
        ("shop", "search", "mail"), ports, (3, 2, 1), strict=True
    ):
        tables.append(
            f'[app.{name}]\ncommand = ["node", "app.js"]\ndirectory = "{APPS}"\n'
            f"instances = {count}\nmin_healthy_s = 4\n"
            f'environment = {{ PORT = "{port}", RELEASE = "1" }}\n'
        )
    tables.append(
        '[app.nightly]\ncommand = ["sh", "-c", "echo no database >&2; exit 1"]\n'
        "restart = { max = 2, delay_s = 0.1 }\n"
    )
    host.configure("\n".join(tables))
    host.gapless("start", "gapless.toml")
    return ports


async def _top(host: Host, theme: str) -> str:
    screen = TopScreen(Client(str(host.home), starts=False))
    async with screen.run_test(size=SIZE) as pilot:
        screen.theme = theme
        await _until(pilot, lambda: len(screen._rows) == 4)  # noqa: SLF001 - what is drawn
        began = time.monotonic()
        await _until(pilot, lambda: time.monotonic() - began > LOOKS_S)
        await pilot.press("r")
        await pilot.pause(0.5)
        await pilot.press("y", "1")
        began = time.monotonic()
        await _until(pilot, lambda: time.monotonic() - began > 4)
        return screen.export_screenshot(title="gapless top")


async def _until(pilot: Pilot[None], fact: Callable[[], Any]) -> None:
    while not fact():
        await pilot.pause(0.1)


def _progress() -> str:
    """Return the picture of a reload of several apps, from lines that are made up."""
    lines = [
        Line(
            name="shop",
            mood=Mood.ACTIVE,
            phase="drains",
            old="3",
            new="4",
            moved=41,
            left=2,
            words="close the month since 10:04:31",
        ),
        Line(
            name="search",
            mood=Mood.ACTIVE,
            phase="proves itself",
            old="7",
            new="8",
            moved=12,
            left=5,
            words="watched for 2 s",
            began_s=3.0,
        ),
        Line(
            name="mail",
            mood=Mood.BAD,
            phase="failed",
            old="1",
            new="2",
            words="exited with code 1 before it was ready",
            ended_s=1.3,
        ),
        Line(name="nightly", words="until search is ready", began_s=5.0),
    ]
    shown, rest = model.chosen(lines, 10)
    console = Console(record=True, width=96, file=io.StringIO())
    console.print(Text("$ gapless reload all"))
    for row in drawing.rows(shown, rest, now=5.4, columns=96, in_colour=True):
        console.print(Text.from_ansi(row.text))
    return console.export_svg(title="gapless reload all")


def _write(path: Path, svg: str) -> None:
    path.write_text(FOREIGN.sub("", svg))
    print(path)


if __name__ == "__main__":
    clean_up_at_sigterm()
    main()
