"""The process that unpacks one tarball: `main` is its whole life.

It has four descriptors: nothing to read on 0, the end of a pipe on 1 for the one line that
it says, the tarball, and, when it is to unpack, the directory and a file for the digests.

    {"files": 12, "folders": 3, "size_bytes": 4096}      it is done
    {"broken": "it ends too early"}                      the bytes are no archive
    {"refused": "its member 'a' is a device or a pipe"}  no release may have that
    {"errno": 28, "path": "lib/a"}                       the machine cannot, now
    {"fault": "TypeError: ..."}                          this program is wrong
"""

from __future__ import annotations

import errno
import functools
import importlib
import json
import os
from typing import Any

from gapless.releases.model import Limits
from gapless.releases.unpacking import filling, rules, streams
from gapless.releases.unpacking.confinement import confine
from gapless.releases.unpacking.faults import BrokenError, RefusedError, shown
from gapless.releases.unpacking.tree import Tree

_MAGIC_BYTES = 16
_UMASK = 0o022
_NOT_OF_THE_TARBALL = frozenset(
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EFBIG", "EIO", "EROFS", "EACCES", "EPERM", "ENOMEM"),
        *("EMFILE", "ENFILE", "ESTALE", "EINTR", "EAGAIN", "ETIMEDOUT", "EBUSY"),
        *("ENODEV", "ENXIO", "EREMOTEIO", "ENOTCONN", "EHOSTDOWN", "EBADF"),
    )
)
"""Errors of the machine, which may go away.  Any other a name or a link has caused."""
_MOST_TEXT = 400


def main(arguments: list[str]) -> None:
    """Unpack or read what the arguments say, then say what came of it."""
    wanted = json.loads(arguments[0])
    limits = Limits(**wanted["limits"])
    source = wanted["source"]
    importlib.import_module(streams.module_of(os.pread(source, _MAGIC_BYTES, 0)))
    shown(b"\x1b")  # imports a codec
    try:
        confine(
            parent=wanted["parent"],
            tree=wanted["tree"],
            memory_bytes=limits.max_memory_bytes,
            seconds=limits.timeout_s,
            file_bytes=limits.max_unpacked_bytes + (1 << 20),
        )
        said = _answer(wanted, limits)
    except ProcessLookupError:
        return
    line = json.dumps(said).encode() + b"\n"
    while line:
        line = line[os.write(1, line) :]
    # No more is to be done, whatever the bytes have made of this process.
    os._exit(0)


def _answer(wanted: dict[str, Any], limits: Limits) -> dict[str, object]:
    try:
        return _act(wanted, limits)
    except BrokenError as error:
        return {"broken": str(error)[:_MOST_TEXT]}
    except RefusedError as error:
        return {"refused": str(error)[:_MOST_TEXT]}
    except MemoryError:
        most = limits.max_memory_bytes >> 20
        return {"refused": f"to read it takes more than {most} MB of memory"}
    except OSError as error:
        name = error.filename or b""
        if not isinstance(name, bytes):
            return {"fault": f"{error}"[:_MOST_TEXT]}  # members have names of bytes
        if error.errno in _NOT_OF_THE_TARBALL:
            return {"errno": error.errno, "path": os.fsdecode(name[:_MOST_TEXT])}
        reason = (error.strerror or str(error)).lower()
        return {"refused": f"its member {shown(name)} cannot be made: {reason}"}
    except Exception as error:  # noqa: BLE001 - the other side says it; nobody reads a trace
        return {"fault": f"{type(error).__name__}: {error}"[:_MOST_TEXT]}


def _act(wanted: dict[str, Any], limits: Limits) -> dict[str, object]:
    read = functools.partial(os.read, wanted["source"])
    if wanted["tree"] is None:
        filling.read(read, limits)
        return {"files": 0, "folders": 0, "size_bytes": 0}
    umask = os.umask(0) | _UMASK
    tree = Tree(wanted["tree"], umask)
    filling.fill(tree, read, limits)
    top = filling.top_of(wanted["tree"])
    if top:
        filling.strip_top(tree, top)
    rules.check_links(tree.links)
    with os.fdopen(wanted["digests"], "wb", closefd=False) as file:
        file.writelines(
            b"%s %s\0" % (digest.encode(), path)
            for path, digest in tree.digests.items()
        )
    return {
        "files": tree.files,
        "folders": tree.folders - bool(top),
        "size_bytes": tree.size_bytes,
    }
