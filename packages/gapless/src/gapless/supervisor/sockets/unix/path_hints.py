"""Whether an app may serve on a Unix-domain path, and whether on this one.

Programs remove their path when they end.  So that the first generation of an app does not
remove it from under the second, its `unlink` has to wait for an answer (`seccomp`); of an
app that serves on ports alone no such call shall wait.  What an app binds is known when it
has; for its first start, what it is started with and what it is written in are looked
through for the name of a socket.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator

from gapless.supervisor.memory import spec

_NAMED = re.compile(rb"\.sock\b|\.socket['\"\s]|unix:|AF_UNIX")
_SUFFIXES = (
    "",
    *(".js", ".mjs", ".cjs", ".ts", ".py", ".rb", ".ru", ".php", ".pl", ".sh", ".lua"),
    *(
        ".conf",
        ".cnf",
        ".cfg",
        ".ini",
        ".json",
        ".toml",
        ".yml",
        ".yaml",
        ".env",
        ".xml",
    ),
    ".properties",
)
MOST_FILES, MOST_BYTES = 200, 1 << 16
_ROOMS = ("", "config", "conf", "etc", "src", "lib", "app", "bin", "server")


def may_serve_on_path(wanted: spec.AppSpec) -> bool:
    """Return whether something of an app names a Unix-domain socket."""
    return _says(wanted, _NAMED)


def names(wanted: spec.AppSpec, path: str) -> bool:
    """Return whether something of an app has the last name of a path in it."""
    name = os.fsencode(os.path.basename(path))
    return _says(wanted, re.compile(rb"(?<![\w.-])" + re.escape(name) + rb"(?![\w-])"))


def _says(wanted: spec.AppSpec, pattern: re.Pattern[bytes]) -> bool:
    words = [*wanted.command, *wanted.environment.values()]
    if any(pattern.search(os.fsencode(word)) for word in words):
        return True
    return any(_file_says(file, pattern) for file in _files(wanted))


def _files(wanted: spec.AppSpec) -> Iterator[str]:
    """Yield the files that an app is started with, and the first of its directory."""
    for word in wanted.command:
        for part in (word, word.rpartition("=")[2]):
            yield os.path.join(wanted.directory, part)
    found = 0
    for room in _ROOMS:
        try:
            files = sorted(os.listdir(os.path.join(wanted.directory, room)))
        except OSError:
            continue
        for name in files:
            if os.path.splitext(name)[1].lower() in _SUFFIXES:
                found += 1
                if found > MOST_FILES:
                    return
                yield os.path.join(wanted.directory, room, name)


def _file_says(path: str, pattern: re.Pattern[bytes]) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False
        return bool(pattern.search(os.read(descriptor, MOST_BYTES)))
    except OSError:
        return False
    finally:
        os.close(descriptor)
