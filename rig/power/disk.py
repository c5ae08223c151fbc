"""A disk as a value: what programs see of it, and what of that outlives a loss of power.

Rule 1: the content of a file is durable as it was when the file was synced last.
Rule 2: a name that was made, changed or removed is durable once its directory was synced; a
rename between two directories, once the one that it leads to was.  That a file was synced
says nothing of its name.
Rule 3: of everything else any part may be there.  Real file systems keep more: they have an
order, and some sync names with files.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Self

from rig.power.trace import Call


class Loss(Enum):
    """What of a disk is lost that was not synced."""

    ALL = "all"
    """Everything: names are as they were, and so is what files hold."""
    CONTENT = "content"
    """Names are new, and files hold what was synced: new ones are empty."""
    NAMES = "names"
    """Files hold everything, under their old names."""
    SOME = "some"
    """By lot: each name by itself, and of each file the beginning, or none, or all."""
    NOTHING = "nothing"
    """A process has died, and not the machine."""


@dataclass(slots=True, eq=False)
class Inode:
    """A file, a directory or a link."""

    mode: int = 0o644
    content: bytes = b""
    synced: bytes = b""
    target: str | None = None
    names: dict[str, Inode] | None = None
    """Of a directory."""
    durable: dict[str, Inode] = field(default_factory=dict)
    """Of a directory: the names that would outlive a loss of power."""

    def put(self, at: int, content: bytes) -> None:
        """Write into a file; what was never written before *at* is zeros."""
        before = self.content[:at].ljust(at, b"\0")
        self.content = before + content + self.content[at + len(content) :]


@dataclass(frozen=True, slots=True)
class _Change:
    """One change of names that is not durable yet; None: the name was removed."""

    names: tuple[tuple[Inode, str, Inode | None], ...]


class Disk:
    """What is below one directory."""

    def __init__(self, root: str) -> None:
        """Take what is there as durable."""
        self._root = root
        self.top = _read(Path(root))
        self._waiting: list[_Change] = []
        self._positions: dict[tuple[int, int], int] = {}
        """By process and descriptor; those that append are not here."""

    # --- what programs do -----------------------------------------------------------

    def does(self, call: Call) -> bool:
        """Repeat a call; return whether it was about this disk, and changed it."""
        if call.name == "sync":
            self._sync_all()
            return True
        if not any(self._is_below(path) for path in call.paths):
            return False
        act = getattr(self, f"_{call.name}", None)
        assert act is not None, f"{call.name} changes a disk, and cannot be repeated"
        return act(call) is not False

    def _is_below(self, path: str) -> bool:
        return path == self._root or path.startswith(f"{self._root}/")

    def _open(self, call: Call) -> bool:
        flags = set(call.flags.split("|"))
        if "O_TMPFILE" in flags:
            raise AssertionError(f"O_TMPFILE cannot be repeated: {call}")
        if not flags & {"O_WRONLY", "O_RDWR", "O_CREAT"}:
            return False
        above, name = self._parent(call.paths[0])
        assert above.names is not None
        found, changed = above.names.get(name), False
        if found is None:
            found, changed = Inode(mode=call.number), True
            self._name((above, name, found))
        if "O_TRUNC" in flags and found.content:
            found.content, changed = b"", True
        if "O_APPEND" in flags:
            self._positions.pop((call.pid, call.descriptor), None)
        else:
            self._positions[call.pid, call.descriptor] = 0
        return changed

    def _close(self, call: Call) -> bool:
        self._positions.pop((call.pid, call.descriptor), None)
        return False

    def _lseek(self, call: Call) -> bool:
        key = call.pid, call.descriptor
        if key in self._positions:
            self._positions[key] = call.number
        return False

    def _write(self, call: Call) -> bool:
        inode = self._find(call.paths[0])
        if inode is None or inode.names is not None or not call.content:
            return False  # it has no name any more
        key = call.pid, call.descriptor
        at = self._positions.get(key, len(inode.content))
        inode.put(at, call.content)
        if key in self._positions:
            self._positions[key] = at + len(call.content)
        return True

    _writev = _write

    def _pwrite64(self, call: Call) -> bool:
        """Write at the offset, and leave the position of the descriptor."""
        inode = self._find(call.paths[0])
        if inode is None or inode.names is not None or not call.content:
            return False  # it has no name any more
        inode.put(call.number, call.content)
        return True

    def _ftruncate(self, call: Call) -> bool:
        inode = self._find(call.paths[0])
        if inode is None:
            return False
        inode.content = inode.content[: call.number].ljust(call.number, b"\0")
        return True

    _truncate = _ftruncate

    def _mkdir(self, call: Call) -> None:
        above, name = self._parent(call.paths[0])
        self._name((above, name, Inode(mode=call.number, names={})))

    def _symlink(self, call: Call) -> None:
        above, name = self._parent(call.paths[0])
        self._name((above, name, Inode(target=os.fsdecode(call.content))))

    def _link(self, call: Call) -> bool:
        above, name = self._parent(call.paths[1])
        inode = self._find(call.paths[0])
        if inode is None:
            return False  # the second name of a socket
        self._name((above, name, inode))
        return True

    def _rename(self, call: Call) -> bool:
        source, target = call.paths
        above, name = self._parent(source) if self._is_below(source) else (None, "")
        inode = above.names.get(name) if above and above.names is not None else None
        if inode is None:
            return False  # a socket, which was bound
        assert above is not None
        changes: list[tuple[Inode, str, Inode | None]] = [(above, name, None)]
        if self._is_below(target):
            changes.append((*self._parent(target), inode))
        self._name(*changes)
        return True

    def _unlink(self, call: Call) -> bool:
        above, name = self._parent(call.paths[0])
        assert above.names is not None
        if name not in above.names:
            return False
        self._name((above, name, None))
        return True

    _rmdir = _unlink

    def _chmod(self, call: Call) -> bool:
        """Take a mode as durable: it is not what is lost here."""
        inode = self._find(call.paths[0])
        if inode is not None:
            inode.mode = call.number
        return False

    _fchmod = _chmod

    def _fsync(self, call: Call) -> None:
        inode = self._find(call.paths[0])
        if inode is None:
            return
        inode.synced = inode.content
        if inode.names is None:
            return
        for change in [*self._waiting]:
            if change.names[-1][0] is inode:
                self._make_durable(change)

    _fdatasync = _fsync

    def _syncfs(self, _: Call) -> None:
        self._sync_all()

    def _sync_all(self) -> None:
        for change in [*self._waiting]:
            self._make_durable(change)
        for inode in _nodes(self.top):
            inode.synced = inode.content

    # --- names ------------------------------------------------------------------------

    def _name(self, *changes: tuple[Inode, str, Inode | None]) -> None:
        for directory, name, inode in changes:
            assert directory.names is not None
            _put(directory.names, name, inode)
        self._waiting.append(_Change(changes))

    def _make_durable(self, change: _Change) -> None:
        self._waiting.remove(change)
        for directory, name, inode in change.names:
            _put(directory.durable, name, inode)

    def _find(self, path: str) -> Inode | None:
        """Return what has a name; links on the way are followed, the last one is not."""
        if path == self._root:
            return self.top
        above, name = self._parent(path)
        return above.names.get(name) if above.names is not None else None

    def _parent(self, path: str, followed: int = 0) -> tuple[Inode, str]:
        """Return the directory of a path, and the last name in it."""
        assert followed < 20, f"too many links: {path}"
        assert self._is_below(path), f"a link leads out of {self._root}: {path}"
        *above, last = os.path.relpath(path, self._root).split("/")
        inode, at = self.top, self._root
        for index, name in enumerate(above):
            found = (inode.names or {}).get(name)
            assert found is not None, f"there is no {at}/{name}"
            if found.target is not None:
                rest = "/".join([*above[index + 1 :], last])
                led_to = os.path.normpath(os.path.join(at, found.target, rest))
                return self._parent(led_to, followed + 1)
            inode, at = found, f"{at}/{name}"
        return inode, last

    # --- what is left -----------------------------------------------------------------

    def after(self, loss: Loss, seed: object = 0) -> Self:
        """Return the disk as it may be after a loss of power; this one stays as it is."""
        draw = random.Random(repr(seed))
        names: dict[Inode, dict[str, Inode]] = {
            inode: dict(inode.durable) for inode in _nodes(self.top)
        }
        for change in self._waiting:
            is_kept = {
                Loss.ALL: False,
                Loss.NAMES: False,
                Loss.SOME: draw.random() < 0.5,
            }
            if is_kept.get(loss, True):
                for directory, name, inode in change.names:
                    _put(
                        names.setdefault(directory, dict(directory.durable)),
                        name,
                        inode,
                    )
        left = object.__new__(type(self))
        left._root, left._waiting, left._positions = self._root, [], {}
        left.top = _copied(self.top, names, loss, draw, {})
        return left

    def fingerprint(self) -> bytes:
        """Return what is the same for disks that hold the same, apart from logs."""
        flat = [
            each for each in _flat(self.top) if not each[0].endswith((".log", ".err"))
        ]
        return hashlib.sha256(repr(sorted(flat)).encode()).digest()

    def write(self) -> None:
        """Put it in the place of what lies at its root now."""
        shutil.rmtree(self._root, ignore_errors=True)
        _write_inode(self.top, self._root, {})

    def differences(self) -> list[str]:
        """Return the paths at which programs see something else than lies there now."""
        ours, real = dict(_flat(self.top)), dict(_flat(_read(Path(self._root))))
        return sorted(
            path for path in {*ours, *real} if ours.get(path) != real.get(path)
        )


def _put(names: dict[str, Inode], name: str, inode: Inode | None) -> None:
    if inode is None:
        names.pop(name, None)
    else:
        names[name] = inode


def _nodes(top: Inode) -> list[Inode]:
    """Return what has a name now, or has one that is durable."""
    found: dict[Inode, None] = {}
    waiting = [top]
    while waiting:
        inode = waiting.pop()
        if inode not in found:
            found[inode] = None
            waiting += [*(inode.names or {}).values(), *inode.durable.values()]
    return list(found)


def _copied(
    inode: Inode,
    names: dict[Inode, dict[str, Inode]],
    loss: Loss,
    draw: random.Random,
    known: dict[Inode, Inode],
) -> Inode:
    """Return what is left of a inode, as one that is durable."""
    if inode in known:
        return known[inode]
    content = inode.content
    if loss in (Loss.ALL, Loss.CONTENT):
        content = inode.synced
    elif loss is Loss.SOME and inode.content != inode.synced:
        cut = draw.randrange(len(inode.content) + 1)
        content = draw.choice([inode.synced, inode.content, inode.content[:cut], b""])
    left = known[inode] = Inode(
        mode=inode.mode, content=content, synced=content, target=inode.target
    )
    if inode.names is not None:
        kept = names.get(inode, inode.durable)
        left.durable = {
            name: _copied(each, names, loss, draw, known)
            for name, each in sorted(kept.items())
        }
        left.names = dict(left.durable)
    return left


def _read(path: Path) -> Inode:
    """Return what lies at a path as durable; sockets and the like are left out."""
    mode = path.lstat().st_mode & 0o7777
    if path.is_symlink():
        return Inode(target=os.readlink(path))
    if path.is_file():
        content = path.read_bytes()
        return Inode(mode=mode, content=content, synced=content)
    names = {
        each.name: _read(each)
        for each in sorted(path.iterdir())
        if each.is_symlink() or each.is_file() or each.is_dir()
    }
    return Inode(mode=mode, names=names, durable=dict(names))


def _write_inode(inode: Inode, path: str, known: dict[Inode, str]) -> None:
    if inode in known:
        os.link(known[inode], path, follow_symlinks=False)
    elif inode.target is not None:
        os.symlink(inode.target, path)
    elif inode.names is None:
        known[inode] = path
        Path(path).write_bytes(inode.content)
        os.chmod(path, inode.mode)
    else:
        os.mkdir(path, 0o700)
        for name, each in inode.names.items():
            _write_inode(each, f"{path}/{name}", known)
        os.chmod(path, inode.mode)


def _flat(inode: Inode, path: str = "") -> list[tuple[str, object]]:
    """Return each path with what is there."""
    if inode.names is None:
        return [(path, inode.content if inode.target is None else inode.target)]
    found: list[tuple[str, object]] = [(path, "directory")]
    for name, each in inode.names.items():
        found += _flat(each, f"{path}/{name}")
    return found
