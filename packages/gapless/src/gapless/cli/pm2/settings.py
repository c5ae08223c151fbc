"""`pm2 set`, `get`, `unset`, `multiset`, `conf`: a list of settings that scripts keep.

PM2's modules read them there.  There are no modules here, so each is kept, and it is said
that nothing reads it.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

from gapless.base import files, home
from gapless.base.disk import set_aside
from gapless.base.errors import DONE, FAILED, GaplessError, MisuseError
from gapless.cli import output
from gapless.cli.pm2.words import Words

FILE = "module_conf.json"
"""In the home, as in PM2's."""
ROTATES = "pm2-logrotate"
_ALL = "all"
_SEPARATOR = re.compile(r"[:.]")


def write(words: Words) -> int:
    """Set one setting, or several in one text.  Raises GaplessError."""
    about = words.about
    if words.verb == "multiset":
        about = tuple(" ".join(about).split())
    if len(about) == 1 and words.verb != "multiset":
        return read(words)
    if not about or len(about) % 2:
        raise MisuseError(f"pm2 {words.verb}: a KEY and a VALUE are needed")
    kept = _kept()
    for key, value in zip(about[::2], about[1::2], strict=True):
        module, name = _parts(key)
        if name:
            inside = kept.get(module)
            kept[module] = {**(inside if isinstance(inside, dict) else {}), name: value}
        else:
            kept[key] = value
        output.print_error(f"{key} is kept for `pm2 get`; nothing else reads it")
        if module == ROTATES:
            output.print_error("hint: logs are rotated by gapless itself: docs/pm2.md")
        else:
            output.print_error(
                "hint: settings of an app stand in its file: `env`, then `pm2 reload FILE`"
            )
    _keep(kept)
    return DONE


def read(words: Words) -> int:
    """Print one setting, or all; the exit code says whether there is one."""
    kept = _kept()
    if not words.about:
        for key, value in _pairs(kept):
            print(f"{key} {value}")
        return DONE
    if len(words.about) == 2:  # pm2 conf KEY VALUE
        return write(words)
    wanted = ":".join(each for each in _parts(words.about[0]) if each)
    found = {
        key: value
        for key, value in _pairs(kept)
        if key == wanted or key.startswith(f"{wanted}:")
    }
    for key, value in found.items():
        print(value if key == wanted else f"{key} {value}")
    return DONE if found else FAILED


def remove(words: Words) -> int:
    """Remove a setting, those of a module, or `all`.  Raises GaplessError."""
    if not words.about:
        raise MisuseError("pm2 unset what? a KEY, or all")
    kept = _kept()
    for key in words.about:
        module, name = _parts(key)
        inside = kept.get(module)
        if key == _ALL:
            kept = {}
        elif name and isinstance(inside, dict):
            inside.pop(name, None)
            if not inside:
                del kept[module]
        else:
            kept.pop(key, None)
    _keep(kept)
    return DONE


def _parts(key: str) -> tuple[str, str]:
    """Return the module and the name in a key: MODULE:NAME, MODULE.NAME, or one word."""
    found = _SEPARATOR.split(key, maxsplit=1)
    return (found[0], found[1]) if len(found) > 1 else (key, "")


def _pairs(kept: dict[str, Any]) -> list[tuple[str, str]]:
    found = []
    for key, value in kept.items():
        if isinstance(value, dict):
            found += [(f"{key}:{name}", str(each)) for name, each in value.items()]
        else:
            found.append((key, str(value)))
    return found


def _path() -> str:
    return os.path.join(home.path(), FILE)


def _kept() -> dict[str, Any]:
    try:
        found = files.read_own_json(_path())
        if isinstance(found, dict | None):
            return found or {}
        reason = "it is no object"
    except ValueError as error:
        reason = str(error)
    except OSError as error:
        if not set_aside.is_foreign(error):
            raise
        reason = (error.strerror or str(error)).lower()
    aside = set_aside.set_aside(_path())
    if not aside:
        raise GaplessError(f"could not read {_path()}, or set it aside: {reason}")
    output.print_error(f"{_path()} could not be read: {reason}; it is {aside} now")
    return {}


def _keep(kept: dict[str, Any]) -> None:
    files.make_directories(home.path(), files.PRIVATE_DIRECTORY)
    files.write_atomically(_path(), json.dumps(kept, indent=4).encode())
