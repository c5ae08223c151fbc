"""Look whether this version could take over from the supervisor that runs.

It changes nothing: the files of the install are compared with their list, every module of
supervisor and keeper is imported, and what the running supervisor has written is read.
Whoever started this process reads its standard output: the last line is the answer.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

import gapless
from gapless.base import events
from gapless.base.errors import GaplessError, UnavailableError
from gapless.base.names import Home
from gapless.supervisor.memory.apps import Apps, read_note
from gapless.supervisor.memory.state import HostRecord, StateFile
from gapless.supervisor.upgrade import installed
from gapless.supervisor.upgrade.inheritance import Inheritance

PARTS = ("gapless/base", "gapless/keeper", "gapless/supervisor")
"""What the running processes consist of."""
LARGEST_NOTES_BYTES = 64 << 20


def run(home: str, given: Inheritance) -> int:
    """Print whether this version could take over; return the exit code."""
    try:
        answer = _try(home, given)
    except GaplessError as error:
        answer = {"error": error.describe()}
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
    sys.stdout.flush()
    return 1 if "error" in answer else 0


def _try(home: str, given: Inheritance) -> dict[str, Any]:
    directory = installed.package_directory()
    files = installed.fingerprint(directory)
    installed.check(directory, gapless.__version__)
    _import_all(directory)
    _read_state(home)
    if given.notes >= 0:
        _read_notes(given.notes)
    if installed.fingerprint(directory) != files:
        raise UnavailableError(
            f"the install in {directory} changes while it is tried", hint=installed.HINT
        )
    return {"version": gapless.__version__, "package": directory, "files": files}


def _import_all(directory: str) -> None:
    """Import every module, also those that a supervisor imports when it needs them."""
    for part in PARTS:
        for path in installed.modules(directory, part):
            name = path.removeprefix(f"{directory}/").removesuffix(".py")
            name = name.removesuffix("/__init__").replace("/", ".")
            try:
                importlib.import_module(name)
            except Exception as error:
                if _is_foreign(error):
                    continue
                raise UnavailableError(
                    f"{path} cannot be imported: {type(error).__name__}: {error}",
                    hint=installed.HINT,
                ) from error


def _is_foreign(error: Exception) -> bool:
    """Return whether a library is missing that only processes of their own import."""
    name = error.name if isinstance(error, ModuleNotFoundError) else None
    return bool(name) and not str(name).startswith("gapless")


def _read_state(home: str) -> None:
    log = events.Log(Home(home).own_log)
    StateFile(Home(home).state, Apps(), HostRecord(), log).load()


def _read_notes(descriptor: int) -> None:
    os.lseek(descriptor, 0, os.SEEK_SET)
    with open(descriptor, "rb", closefd=False) as file:
        notes = json.loads(file.read(LARGEST_NOTES_BYTES))
    for app, note in notes.items():
        try:
            read_note(note)
        except ValueError as error:
            raise UnavailableError(
                f"{app}: version {gapless.__version__} cannot read what the running "
                f"supervisor knows of it: {error}",
                hint="nothing was changed; install the version that runs, or a later one",
            ) from error
