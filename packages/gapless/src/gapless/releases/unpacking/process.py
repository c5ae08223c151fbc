"""The publisher's side of the child that unpacks: start it, bound it, check what it says.

Whatever happens to the child is a ReleaseError about that one upload: its error, a signal,
a time-out, words that are not its own.  An OSError is what the machine could not do; the
upload may be tried again.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import subprocess
from dataclasses import asdict, dataclass, field
from typing import Any

from gapless.base import clock, interpreter
from gapless.base.errors import ReleaseError
from gapless.base.outside.text import printable
from gapless.releases.model import Limits

_MOST_SAID_BYTES = 4096
_MOST_TEXT = 600
_MOST_NUMBER = 1 << 62
_DIGEST_BYTES = 64
_DIGEST_LETTERS = frozenset(b"0123456789abcdef")
_KEPT_VARIABLES = ("LD_LIBRARY_PATH",)
"""What some builds of Python need to start."""
_SIGNALS = {
    signal.SIGXCPU: "it took more processor time than {seconds:g} s",
    signal.SIGALRM: "it took longer than {seconds:g} s",
    signal.SIGKILL: "the process that read it was killed: memory, or processor time",
}


@dataclass(slots=True)
class Unpacked:
    """What came out of a tarball."""

    files: int = 0
    folders: int = 0
    size_bytes: int = 0
    digests: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each file, by relative path."""


class IncompleteError(ReleaseError):
    """The bytes are no archive, or not all of one; more of them may come."""


def run(source: int, limits: Limits, tree: int | None = None) -> Unpacked:
    """Read an archive to its end in a child, and unpack it below *tree* if there is one.

    *source* and *tree* are descriptors; the file is read from its beginning, *tree* is an
    empty directory.  Raises IncompleteError for a broken archive, ReleaseError for one that
    is refused, with the reason alone as message, and OSError for what the machine could not
    do.
    """
    digests = os.memfd_create("digests")
    try:
        said = _said(source, limits, tree, digests)
        if tree is None or not said.get("files"):
            return Unpacked()
        return Unpacked(
            files=_count(said, "files"),
            folders=_count(said, "folders"),
            size_bytes=_count(said, "size_bytes"),
            digests=_read_digests(digests, _count(said, "files"), limits),
        )
    finally:
        os.close(digests)


def _said(
    source: int, limits: Limits, tree: int | None, digests: int
) -> dict[str, Any]:
    """Return what a child says when it is done.  Raises what it says otherwise."""
    os.lseek(source, 0, os.SEEK_SET)
    given = [each for each in (source, tree, digests) if each is not None]
    wanted = {
        "source": source,
        "tree": tree,
        "digests": digests,
        "parent": os.getpid(),
        "limits": asdict(limits),
    }
    child = subprocess.Popen(
        interpreter.python("gapless.releases.unpacking.child", [json.dumps(wanted)]),
        cwd="/",
        env={k: os.environ[k] for k in _KEPT_VARIABLES if k in os.environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=given,
        start_new_session=True,
    )
    assert child.stdout is not None
    until = clock.monotonic() + limits.timeout_s
    with child.stdout:
        try:
            line = _line(child.stdout.fileno(), until)
            if len(line) <= _MOST_SAID_BYTES:
                # Its output ends before it does: killed now, it would seem to be
                # out of memory.
                child.wait(max(0.0, until - clock.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired):
            raise ReleaseError(f"it took longer than {limits.timeout_s:g} s") from None
        finally:
            child.kill()
            code = child.wait()
    return _checked(line, code, limits)


def _line(descriptor: int, until: float) -> bytes:
    """Return what a child writes until the end of its output, or more than it may.

    Raises TimeoutError at *until*, by the monotonic clock.
    """
    line = b""
    while len(line) <= _MOST_SAID_BYTES:
        left_s = until - clock.monotonic()
        if left_s <= 0:
            raise TimeoutError
        if not select.select([descriptor], [], [], left_s)[0]:
            continue
        piece = os.read(descriptor, _MOST_SAID_BYTES)
        if not piece:
            break
        line += piece
    return line


def _checked(line: bytes, code: int, limits: Limits) -> dict[str, Any]:
    """Return what a child says when it is done.  Raises ReleaseError, OSError."""
    said = None
    if line.endswith(b"\n") and len(line) <= _MOST_SAID_BYTES:
        with contextlib.suppress(ValueError, RecursionError):
            said = json.loads(line)
    if not isinstance(said, dict):
        raise ReleaseError(_end(code, limits))
    for kind, error in (("broken", IncompleteError), ("refused", ReleaseError)):
        if kind in said:
            raise error(printable(str(said[kind]))[:_MOST_TEXT], hint=_hint(said))
    if "fault" in said:
        text = printable(str(said["fault"]))[:_MOST_TEXT]
        raise ReleaseError(f"gapless could not read it: {text}")
    if "errno" in said:
        number = _count(said, "errno")
        if number not in errno.errorcode:
            raise ReleaseError(f"the process that read it said errno = {number}")
        path = printable(str(said.get("path", "")))[:_MOST_TEXT]
        raise OSError(number, os.strerror(number), path or None)
    return said


def _hint(said: dict[str, Any]) -> str:
    is_limit = " more than " in str(said.get("refused", ""))
    return "the limits stand in [release.NAME] limits" if is_limit else ""


def _end(code: int, limits: Limits) -> str:
    """Return how a child ended that has said nothing, or something else."""
    if code >= 0:
        return f"the process that read it ended with code {code} and did not say why"
    known = (
        _SIGNALS.get(signal.Signals(-code)) if -code in set(signal.Signals) else None
    )
    if known is None:
        return f"the process that read it ended by signal {-code}"
    return known.format(seconds=limits.timeout_s)


def _count(said: dict[str, Any], key: str) -> int:
    value = said.get(key)
    if type(value) is not int or not 0 <= value < _MOST_NUMBER:
        raise ReleaseError(f"the process that read it said {key} = {str(value)[:40]!a}")
    return value


def _read_digests(descriptor: int, most: int, limits: Limits) -> dict[str, str]:
    """Return the digests that a child has written, by path.  Raises ReleaseError."""
    size = os.fstat(descriptor).st_size
    if size > (_DIGEST_BYTES + 4096) * min(most, limits.max_files):
        raise ReleaseError("the process that read it wrote too many digests")
    digests = {}
    with open(descriptor, "rb", closefd=False) as file:
        file.seek(0)
        for record in file.read(size).split(b"\0")[:-1]:
            digest, path = record[:_DIGEST_BYTES], record[_DIGEST_BYTES + 1 :]
            if not path or not _DIGEST_LETTERS.issuperset(digest):
                raise ReleaseError("the process that read it wrote no digest")
            digests[os.fsdecode(path)] = digest.decode()
    if len(digests) > most:
        raise ReleaseError("the process that read it wrote too many digests")
    return digests
