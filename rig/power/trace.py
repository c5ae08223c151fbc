"""Read what strace has written down: the calls that change a disk, in their order.

Only calls are known whose effect this rig can repeat; another one that changes a file is an
error, and at the end the repeated disk is compared with the real one (`recording.py`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

CALLS = (
    *("open", "openat", "creat", "write", "writev", "pwrite64", "pwritev", "sendfile"),
    *("copy_file_range", "rename", "renameat", "renameat2", "link", "linkat"),
    *("symlink", "symlinkat", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir"),
    *("mknod", "mknodat", "fsync", "fdatasync", "sync", "syncfs", "sync_file_range"),
    *("truncate", "ftruncate", "fallocate", "chmod", "fchmod", "fchmodat"),
    *("lseek", "close", "chdir"),
)
ARGV = (
    *("strace", "-f", "--seccomp-bpf", "-y", "-xx", "-s", str(1 << 22), "-qqq"),
    *("-e", f"trace={','.join(CALLS)}", "-e", "signal=none"),
)
_LINE = re.compile(r"(\d+) +(.*)")
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+)(?:<([^>]*)>)?.*", re.DOTALL)
_UNFINISHED = " <unfinished ...>"
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(.*)", re.DOTALL)
_ARGUMENT = re.compile(
    r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?'  # a text
    r"|(-?\d+|AT_FDCWD)<([^>]*)>(?:\(deleted\))?"  # a descriptor, and its path
    r"|([A-Z_0-9|]+)"  # flags and numbers
)
_OF_PROCESS = re.compile(rb"/proc/(?:self|thread-self|\d+)/fd/(\d+)(/.*)?", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call that succeeded.  Paths are absolute; links in them are not followed."""

    pid: int
    name: str
    paths: tuple[str, ...] = ()
    descriptor: int = -1
    content: bytes = b""
    """What was written; of a symbolic link, where it leads."""
    flags: str = ""
    number: int = 0
    """A length or a mode, by the name of the call."""


class Reader:
    """Reads the lines of one trace."""

    def __init__(self) -> None:
        self._begun: dict[int, str] = {}
        self._directories: dict[int, str] = {}
        """By process: its working directory, as far as it was seen."""
        self._opened: dict[tuple[int, int], str] = {}

    def read(self, path: str) -> Iterator[Call]:
        """Yield the calls of a trace."""
        with open(path, encoding="ascii") as file:
            for line in file:
                whole = self._whole(line.rstrip("\n"))
                if whole is not None and (call := self._call(*whole)):
                    yield call

    def _whole(self, line: str) -> tuple[int, str] | None:
        """Return a call that has ended: one that others interrupted stands in two lines."""
        found = _LINE.fullmatch(line)
        if found is None:
            return None
        pid, text = int(found[1]), found[2]
        if text.endswith(_UNFINISHED):
            self._begun[pid] = text.removesuffix(_UNFINISHED)
            return None
        if resumed := _RESUMED.fullmatch(text):
            text = self._begun.pop(pid, "") + resumed[1]
        return pid, text

    def _call(self, pid: int, text: str) -> Call | None:
        found = _CALL.fullmatch(text)
        if found is None or int(found[3]) < 0:
            return None  # it failed, or it is the end of a process
        name, result, led_to = found[1], int(found[3]), found[4]
        texts: list[bytes] = []
        places: list[tuple[int, str]] = []
        rest: list[str] = []
        for each in _ARGUMENT.finditer(found[2]):
            if each[1] is not None:
                assert not each[2], f"a text was cut off: {text[:200]}"
                texts.append(bytes.fromhex(each[1].replace("\\x", "")))
            elif each[3] is not None:
                place = os.fsdecode(_unhexed(each[4]))
                if each[3] == "AT_FDCWD":
                    self._directories[pid] = place
                    places.append((-1, place))
                else:
                    places.append((int(each[3]), place))
            else:
                rest.append(each[5])
        if name == "chdir":
            self._directories[pid] = self._path(pid, texts[0], None)
            return None
        if name in ("open", "openat", "creat"):
            real = os.fsdecode(_unhexed(led_to or ""))
            self._opened[pid, result] = real
            flags = next((each for each in rest if each.startswith("O_")), "O_CREAT")
            mode = int(rest[-1], 8) if rest[-1].isdigit() else 0
            return Call(
                pid=pid,
                name="open",
                paths=(real,),
                descriptor=result,
                flags=flags,
                number=mode,
            )
        return self._of_names_or_descriptor(pid, name, texts, places, rest, result)

    def _of_names_or_descriptor(  # noqa: PLR0917 - the parts of one line
        self,
        pid: int,
        name: str,
        texts: list[bytes],
        places: list[tuple[int, str]],
        rest: list[str],
        result: int,
    ) -> Call | None:
        if name in _ON_DESCRIPTORS:
            if not places:
                return None
            descriptor, path = places[0]
            return Call(
                pid=pid,
                name=name,
                paths=(path,),
                descriptor=descriptor,
                content=b"".join(texts)[:result] if "write" in name else b"",
                flags="|".join(rest),
                number=result if name == "lseek" else _number(rest),
            )
        content = b""
        if name in ("symlink", "symlinkat"):
            content, texts = texts[0], texts[1:]
        above: list[str | None] = [place for _, place in places]
        if not name.endswith(("at", "at2")):
            above = [None] * len(texts)
        names = [
            self._path(pid, each, at) for each, at in zip(texts, above, strict=True)
        ]
        return Call(
            pid=pid,
            name=name.removesuffix("2").removesuffix("at"),
            paths=tuple(names),
            content=content,
            flags="|".join(rest),
            number=_number(rest),
        )

    def _path(self, pid: int, path: bytes, directory: str | None) -> str:
        """Return an absolute path; one by way of a descriptor is that of its directory."""
        if by := _OF_PROCESS.fullmatch(path):
            opened = self._opened.get((pid, int(by[1])), "")
            return opened + os.fsdecode(by[2] or b"")
        above = directory if directory is not None else self._directories.get(pid, "/")
        return os.path.normpath(os.path.join(above, os.fsdecode(path)))


_ON_DESCRIPTORS = (
    *("write", "writev", "pwrite64", "pwritev", "sendfile", "copy_file_range", "close"),
    *("fsync", "fdatasync", "syncfs", "ftruncate", "fallocate", "fchmod", "lseek"),
    "sync_file_range",
)


def _unhexed(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _number(rest: list[str]) -> int:
    """Return the last number among arguments: modes are octal, as strace prints them."""
    numbers = [each for each in rest if each.isdigit()]
    if not numbers:
        return 0
    return int(numbers[-1], 8 if numbers[-1].startswith("0") else 10)
