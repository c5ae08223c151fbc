"""gapless beside what else releases apps, in one run, under the same strict clients.

`python -m bench.compare [SECONDS] [TOOL...] [--write]`: so many seconds for the three
releases of each tool, 30 unless said otherwise.  A tool is named by a part of its name.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench.compare import chinese, foreground, table, tools
from bench.compare.app import App
from bench.compare.facts import Found
from bench.compare.measure import measure
from rig.hosts.host import ROOT, SERVERS
from rig.sigterm import clean_up_at_sigterm

SECONDS, LEAST_SECONDS = 30.0, 1.0
PAGE = ROOT / "docs" / "benchmarks.md"
READMES = {
    ROOT / "README.md": table.WORDS,
    ROOT / "README.zh-CN.md": chinese.CHINESE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A tool of the comparison."""

    make: Callable[[App], tools.Tool]
    kind: str
    needs: Path = SERVERS
    in_readme: bool = False


ENTRIES = {
    "gapless, node": Entry(make=tools.Gapless, kind="node", in_readme=True),
    "gapless, uvicorn": Entry(make=tools.Gapless, kind="asgi"),
    "gapless, gunicorn": Entry(make=tools.Gapless, kind="wsgi"),
    "PM2 reload, node": Entry(
        make=tools.Pm2, kind="node", needs=tools.PM2, in_readme=True
    ),
    "gunicorn HUP": Entry(make=foreground.Gunicorn, kind="wsgi", in_readme=True),
    "uvicorn HUP": Entry(make=foreground.Uvicorn, kind="asgi", in_readme=True),
    "granian HUP": Entry(make=foreground.Granian, kind="asgi"),
    "hypercorn HUP": Entry(make=foreground.Hypercorn, kind="asgi"),
    "circus reload, uvicorn": Entry(
        make=foreground.Circus, kind="asgi", needs=foreground.OTHERS, in_readme=True
    ),
    "supervisord restart, uvicorn": Entry(
        make=foreground.Supervisord,
        kind="asgi",
        needs=foreground.OTHERS,
        in_readme=True,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What the command line asks for."""

    seconds: float
    names: tuple[str, ...]
    write: bool


def chosen(arguments: list[str]) -> Chosen:
    """Return what the arguments ask for; exits with code 2 if they cannot be meant."""
    parser = argparse.ArgumentParser(prog="python -m bench.compare")
    parser.add_argument("words", nargs="*", metavar="SECONDS|TOOL")
    parser.add_argument("--write", action="store_true", help="into the pages as well")
    options = parser.parse_args(arguments)
    words, seconds = list(options.words), SECONDS
    if words and words[0].replace(".", "", 1).isdigit():
        seconds = float(words.pop(0))
    if not LEAST_SECONDS <= seconds <= 3600:
        parser.error(f"{seconds:g} seconds for each tool: from 1 to 3600")
    for word in words:
        if not any(word in name for name in ENTRIES):
            parser.error(f"no tool is named {word!r}: {'; '.join(ENTRIES)}")
    if options.write and words:
        parser.error("--write needs the whole table: name no tool")
    names = tuple(
        name for name in ENTRIES if not words or any(word in name for word in words)
    )
    return Chosen(seconds=seconds, names=names, write=options.write)


def main(arguments: list[str]) -> None:
    """Print the table; write it into the pages."""
    wanted = chosen(arguments)
    for name in wanted.names:
        if not ENTRIES[name].needs.exists():
            sys.exit(f"{name}: no {ENTRIES[name].needs}: `make compare` installs it")
    began = datetime.now().astimezone()
    load = [os.getloadavg()[0]]
    print(table.table([]), flush=True)
    found: list[Found] = []
    failed: dict[str, str] = {}
    for name in wanted.names:
        entry = ENTRIES[name]
        try:
            found.append(measure(name, entry.make, entry.kind, wanted.seconds))
        except AssertionError as error:
            failed[name] = str(error).partition("\n")[0]
            print(f"{name}: not measured: {failed[name]}", file=sys.stderr, flush=True)
            continue
        load.append(os.getloadavg()[0])
        print(table.row(found[-1]), flush=True)
    said = circumstances(wanted.seconds, began, load)
    print(f"\n{said}")
    for name, reason in failed.items():
        said += f" Not measured: {name} ({reason})."
    if wanted.write:
        write(found, said)
    if failed:
        sys.exit(1)


def circumstances(seconds: float, began: datetime, load: list[float]) -> str:
    """Return when, where and how it was measured."""
    return (
        f"`python -m bench.compare {seconds:g}`, {began:%Y-%m-%d %H:%M}, one run on "
        f"{os.cpu_count()} cores, load average {min(load):.0f} to {max(load):.0f}."
    )


def write(found: list[Found], said: str) -> None:
    """Put the table into the pages."""
    put(PAGE, f"{said}\n\n{table.table(found)}")
    few = [each for each in found if ENTRIES[each.tool].in_readme]
    for page, words in READMES.items():
        put(page, table.short_table(few, words))


def put(page: Path, text: str) -> None:
    """Put a text between the marks of a page."""
    page.write_text(table.between_marks(page.read_text(), text))


if __name__ == "__main__":
    clean_up_at_sigterm()
    main(sys.argv[1:])
