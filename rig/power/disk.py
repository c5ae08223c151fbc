"""A disk as a value: what programs see of it, and what of that outlives a loss of power.

Rule 1: the content of a file is durable as it was when the file was synced last.
Rule 2: a name that was made, changed or removed is durable once its directory was synced; a
rename between two directories, once one of them was.  That a file was synced says nothing
of its name.
Rule 3: of everything else any part may be there.  Real file systems keep more: they have an
order, and some sync names with files.
"""

from __future__ import annotations

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
class Node:
    """A file, a directory or a link."""

    mode: int = 0o644
    content: bytes = b""
    synced: bytes = b""
    target: str | None = None
    names: dict[str, Node] | None = None
    """Of a directory."""
    durable: dict[str, Node] = field(default_factory=dict)
    """Of a directory: the names that would outlive a loss of power."""


@dataclass(frozen=True, slots=True)
class _Change:
    """One change of names that is not durable yet; None: the name was removed."""

    names: tuple[tuple[Node, str, Node | None], ...]


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
            found, changed = Node(mode=call.number), True
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
        node = self._find(call.paths[0])
        if node is None or node.names is not None or not call.content:
            return False  # it has no name any more
        key = call.pid, call.descriptor
        at = self._positions.get(key, len(node.content))
        before = node.content[:at].ljust(at, b"\0")
        node.content = before + call.content + node.content[at + len(call.content) :]
        if key in self._positions:
            self._positions[key] = at + len(call.content)
        return True

    _writev = _write

    def _ftruncate(self, call: Call) -> bool:
        node = self._find(call.paths[0])
        if node is None:
            return False
        node.content = node.content[: call.number].ljust(call.number, b"\0")
        return True

    _truncate = _ftruncate

    def _mkdir(self, call: Call) -> None:
        above, name = self._parent(call.paths[0])
        self._name((above, name, Node(mode=call.number, names={})))

    def _symlink(self, call: Call) -> None:
        above, name = self._parent(call.paths[0])
        self._name((above, name, Node(target=os.fsdecode(call.content))))

    def _link(self, call: Call) -> bool:
        above, name = self._parent(call.paths[1])
        node = self._find(call.paths[0])
        if node is None:
            return False  # the second name of a socket
        self._name((above, name, node))
        return True

    def _rename(self, call: Call) -> bool:
        source, target = call.paths
        above, name = self._parent(source) if self._is_below(source) else (None, "")
        node = above.names.get(name) if above and above.names is not None else None
        if node is None:
            return False  # a socket, which was bound
        assert above is not None
        changes: list[tuple[Node, str, Node | None]] = [(above, name, None)]
        if self._is_below(target):
            changes.append((*self._parent(target), node))
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
        node = self._find(call.paths[0])
        if node is not None:
            node.mode = call.number
        return False

    _fchmod = _chmod

    def _fsync(self, call: Call) -> None:
        node = self._find(call.paths[0])
        if node is None:
            return
        node.synced = node.content
        if node.names is None:
            return
        for change in [*self._waiting]:
            if any(directory is node for directory, _, _ in change.names):
                self._make_durable(change)

    _fdatasync = _fsync

    def _syncfs(self, _: Call) -> None:
        self._sync_all()

    def _sync_all(self) -> None:
        for change in [*self._waiting]:
            self._make_durable(change)
        for node in _nodes(self.top):
            node.synced = node.content

    # --- names ------------------------------------------------------------------------

    def _name(self, *changes: tuple[Node, str, Node | None]) -> None:
        for directory, name, node in changes:
            assert directory.names is not None
            _put(directory.names, name, node)
        self._waiting.append(_Change(changes))

    def _make_durable(self, change: _Change) -> None:
        self._waiting.remove(change)
        for directory, name, node in change.names:
            _put(directory.durable, name, node)

    def _find(self, path: str) -> Node | None:
        """Return what has a name; links on the way are followed, the last one is not."""
        if path == self._root:
            return self.top
        above, name = self._parent(path)
        return above.names.get(name) if above.names is not None else None

    def _parent(self, path: str, followed: int = 0) -> tuple[Node, str]:
        """Return the directory of a path, and the last name in it."""
        assert followed < 20, f"too many links: {path}"
        assert self._is_below(path), f"a link leads out of {self._root}: {path}"
        *above, last = os.path.relpath(path, self._root).split("/")
        node, at = self.top, self._root
        for index, name in enumerate(above):
            found = (node.names or {}).get(name)
            assert found is not None, f"there is no {at}/{name}"
            if found.target is not None:
                rest = "/".join([*above[index + 1 :], last])
                led_to = os.path.normpath(os.path.join(at, found.target, rest))
                return self._parent(led_to, followed + 1)
            node, at = found, f"{at}/{name}"
        return node, last

    # --- what is left -----------------------------------------------------------------

    def after(self, loss: Loss, seed: object = 0) -> Self:
        """Return the disk as it may be after a loss of power; this one stays as it is."""
        draw = random.Random(repr(seed))
        names: dict[Node, dict[str, Node]] = {
            node: dict(node.durable) for node in _nodes(self.top)
        }
        for change in self._waiting:
            is_kept = {
                Loss.ALL: False,
                Loss.NAMES: False,
                Loss.SOME: draw.random() < 0.5,
            }
            if is_kept.get(loss, True):
                for directory, name, node in change.names:
                    _put(
                        names.setdefault(directory, dict(directory.durable)), name, node
                    )
        left = object.__new__(type(self))
        left._root, left._waiting, left._positions = self._root, [], {}
        left.top = _copied(self.top, names, loss, draw, {})
        return left

    def write(self) -> None:
        """Put it in the place of what lies at its root now."""
        shutil.rmtree(self._root, ignore_errors=True)
        _write_node(self.top, self._root, {})

    def differences(self) -> list[str]:
        """Return the paths at which programs see something else than lies there now."""
        ours, real = dict(_flat(self.top)), dict(_flat(_read(Path(self._root))))
        return sorted(
            path for path in {*ours, *real} if ours.get(path) != real.get(path)
        )


def _put(names: dict[str, Node], name: str, node: Node | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def _nodes(top: Node) -> list[Node]:
    """Return what has a name now, or has one that is durable."""
    found: dict[Node, None] = {}
    waiting = [top]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found[node] = None
            waiting += [*(node.names or {}).values(), *node.durable.values()]
    return list(found)


def _copied(
    node: Node,
    names: dict[Node, dict[str, Node]],
    loss: Loss,
    draw: random.Random,
    known: dict[Node, Node],
) -> Node:
    """Return what is left of a node, as one that is durable."""
    if node in known:
        return known[node]
    content = node.content
    if loss in (Loss.ALL, Loss.CONTENT):
        content = node.synced
    elif loss is Loss.SOME and node.content != node.synced:
        cut = draw.randrange(len(node.content) + 1)
        content = draw.choice([node.synced, node.content, node.content[:cut], b""])
    left = known[node] = Node(
        mode=node.mode, content=content, synced=content, target=node.target
    )
    if node.names is not None:
        kept = names.get(node, node.durable)
        left.durable = {
            name: _copied(each, names, loss, draw, known)
            for name, each in sorted(kept.items())
        }
        left.names = dict(left.durable)
    return left


def _read(path: Path) -> Node:
    """Return what lies at a path as durable; sockets and the like are left out."""
    mode = path.lstat().st_mode & 0o7777
    if path.is_symlink():
        return Node(target=os.readlink(path))
    if path.is_file():
        content = path.read_bytes()
        return Node(mode=mode, content=content, synced=content)
    names = {
        each.name: _read(each)
        for each in sorted(path.iterdir())
        if each.is_symlink() or each.is_file() or each.is_dir()
    }
    return Node(mode=mode, names=names, durable=dict(names))


def _write_node(node: Node, path: str, known: dict[Node, str]) -> None:
    if node in known:
        os.link(known[node], path, follow_symlinks=False)
    elif node.target is not None:
        os.symlink(node.target, path)
    elif node.names is None:
        known[node] = path
        Path(path).write_bytes(node.content)
        os.chmod(path, node.mode)
    else:
        os.mkdir(path, 0o700)
        for name, each in node.names.items():
            _write_node(each, f"{path}/{name}", known)
        os.chmod(path, node.mode)


def _flat(node: Node, path: str = "") -> list[tuple[str, object]]:
    """Return each path with what is there."""
    if node.names is None:
        return [(path, node.content if node.target is None else node.target)]
    found: list[tuple[str, object]] = [(path, "directory")]
    for name, each in node.names.items():
        found += _flat(each, f"{path}/{name}")
    return found
