"""Static files as an app: the script `serve`, and what declares one beside `apps`.

The variables are PM2's; `gapless.static_site` reads them.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gapless.base.errors import NotFoundError

SCRIPT = "serve"
PATH = "PM2_SERVE_PATH"
PORT = "PM2_SERVE_PORT"
HOST = "PM2_SERVE_HOST"
SPA = "PM2_SERVE_SPA"
HOMEPAGE = "PM2_SERVE_HOMEPAGE"
LISTING = "PM2_SERVE_FTP"
AUTHENTICATION = "PM2_SERVE_BASIC_AUTH"
USERNAME = "PM2_SERVE_BASIC_AUTH_USERNAME"
PASSWORD = "PM2_SERVE_BASIC_AUTH_PASSWORD"  # noqa: S105 - the name of a variable
DEFAULT_PORT = 8080
INSTALL = "pip install 'gapless[serve]'"
_PACKAGES = ("starlette", "uvicorn", "gapless_drain")
_SETS = {
    "path": PATH,
    "port": PORT,
    "host": HOST,
    "spa": SPA,
    "ftp": LISTING,
    "homepage": HOMEPAGE,
}


def is_meant(script: str, arguments: Sequence[str], search: str) -> bool:
    """Return whether a script that is no file means static files, as in PM2.

    The program of that name from npm has arguments, where PM2's has variables.  *search*
    is the PATH to look in.
    """
    return script == SCRIPT and not (arguments and shutil.which(script, path=search))


def command(
    directory: str, environment: Mapping[str, str], redirect: Callable[[str], str]
) -> list[str]:
    """Return the argument vector of the app that serves files.  Raises NotFoundError."""
    check_installed()
    # Not the modules of the directory that is served (-P).
    words = [sys.executable, "-P", "-m", "gapless.static_site"]
    path = environment.get(PATH, "")
    if os.path.isabs(path):
        return [*words, os.path.realpath(redirect(path))]
    if not os.path.isdir(os.path.join(directory, path)):
        raise NotFoundError(f"there is no directory {directory}/{path} to serve")
    return words


def check_installed() -> None:
    """Raise NotFoundError if a package that serves files is missing."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise NotFoundError(
            f"static files need packages that are not installed: {', '.join(missing)}",
            hint=f"{INSTALL}, for {sys.executable}",
        )


def default_name(port: object) -> str:
    """Return the name of an app that has none."""
    return f"static-page-server-{port}"


def variables(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables for settings, by the keys that PM2 has for them in a file."""
    found = {
        _SETS[name]: _text(value)
        for name, value in settings.items()
        if name in _SETS and value is not None
    }
    asked = settings.get("basic_auth")
    if asked is not None and asked is not False:
        keys = asked if isinstance(asked, dict) else {}
        found[AUTHENTICATION] = "true"
        found[USERNAME] = _text(keys.get("username", ""))
        found[PASSWORD] = _text(keys.get("password", ""))
    return found


def declarations(content: Any, file: str, warnings: list[str]) -> Iterator[Any]:
    """Yield the declarations of apps that `static` of a PM2 file stands for."""
    entries = content.get("static") if isinstance(content, dict) else None
    for each in [entries] if isinstance(entries, dict) else entries or []:
        if not isinstance(each, dict):
            yield each  # is refused as an app would be
            continue
        known = {*_SETS, "basic_auth", "name", "cwd", "namespace"}
        warnings += [
            f"{file}: static: {key}: there is no such key, it is ignored"
            for key in each
            if key not in known
        ]
        kept = {name: each[name] for name in ("cwd", "namespace") if name in each}
        name = each.get("name") or default_name(each.get("port", DEFAULT_PORT))
        yield {"name": name, "script": SCRIPT, "env": variables(each), **kept}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
