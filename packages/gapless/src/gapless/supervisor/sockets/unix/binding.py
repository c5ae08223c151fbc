"""Bind sockets to paths, beside what is left of others."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import stat
from collections.abc import Iterator

from gapless.supervisor.sockets.unix import names

LONGEST_BYTES = 107
"""struct sockaddr_un has 108, and a NUL ends the path."""
OWN = ".gapless-"
"""Between a path and the number of a generation, in the name that a socket keeps."""


def bind(sock: socket.socket, path: str) -> None:
    """Bind a socket to a path, however long.  Raises OSError."""
    with _address(path) as address:
        sock.bind(address)


def bound_as(sock: socket.socket, *paths: str) -> str:
    """Return to which of some paths a socket is bound already, or "".

    A supervisor died after it bound it, and before the keeper held it.
    """
    address = os.fsdecode(sock.getsockname())
    for path in paths:
        short = f"/{os.path.basename(path)}"
        by_descriptor = address.startswith("/proc/self/fd/") and address.endswith(short)
        if address == path or by_descriptor:
            return path
    return ""


def bind_over_dead(sock: socket.socket, path: str) -> None:
    """Bind a path, and remove what was left there of a socket that gapless had.

    Not every program removes its path before it binds: the one before was to be removed
    when it was closed, and who would have done so was killed.  Raises OSError.
    """
    try:
        bind(sock, path)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        found = names.look(path)
        left = {} if found is None else _own_names(path)
        same = [n for n, e in left.items() if found and os.path.samestat(e, found)]
        if not same or not _nobody_listens(sock, path):
            raise
        for name in (*same, path):
            os.unlink(name)
        bind(sock, path)


def link(path: str, name: str) -> None:
    """Give a socket that was bound just now another name, if it has not got it.

    Raises OSError.
    """
    try:
        os.link(path, name, follow_symlinks=False)
    except FileExistsError:
        if not os.path.samestat(os.lstat(path), os.lstat(name)):
            raise


def moves(path: str) -> bool:
    """Return whether a program has moved an earlier socket from a path."""
    if os.path.lexists(path):
        return False
    left = {n: e for n, e in _own_names(path).items() if stat.S_ISSOCK(e.st_mode)}
    kept = [each for name, each in left.items() if not name.endswith(".new")]
    return any(
        each.st_nlink > sum(os.path.samestat(each, e) for e in left.values())
        for each in kept
    )


def remove_leftovers(path: str, *, kept: names.Inode) -> None:
    """Remove the names that are left of generations of which no socket is left.

    Raises OSError.
    """
    for name, found in _own_names(path).items():
        if names.inode_of(found) != kept:
            remove_leftover(name)


def remove_leftover(name: str) -> None:
    """Remove what an earlier supervisor left under a name that only gapless gives."""
    found = names.look(name)
    if found is not None and stat.S_ISSOCK(found.st_mode):
        os.unlink(name)


def _own_names(path: str) -> dict[str, os.stat_result]:
    directory, base = os.path.split(path)
    ours = re.compile(re.escape(base + OWN) + r"\d+(\.new)?")
    own = {}
    for name in os.listdir(directory):
        if ours.fullmatch(name):
            whole = os.path.join(directory, name)
            found = names.look(whole)
            if found is not None:
                own[whole] = found
    return own


def _nobody_listens(sock: socket.socket, path: str) -> bool:
    with socket.socket(socket.AF_UNIX, sock.type) as client, _address(path) as address:
        client.setblocking(False)
        return client.connect_ex(address) == errno.ECONNREFUSED


@contextlib.contextmanager
def _address(path: str) -> Iterator[str]:
    """Give the address of a path."""
    if len(os.fsencode(path)) <= LONGEST_BYTES:
        yield path
        return
    # Its program was near enough to give a shorter name.
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{os.path.basename(path)}"
    finally:
        os.close(directory)
