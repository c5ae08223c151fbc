"""Which members a release may have, and which links: none that leads out of it.  Pure."""

from __future__ import annotations

import posixpath

from gapless.releases.model import Limits
from gapless.releases.unpacking import members
from gapless.releases.unpacking.faults import RefusedError, shown
from gapless.releases.unpacking.members import Member

_SET_ID = 0o6000
_MOST_NAME_BYTES, _MOST_PATH_BYTES = 255, 2048
"""Of one name (NAME_MAX), and of a path: with the directory of the release before it, it
stays below what system calls take (PATH_MAX, 4096)."""
_MOST_FOLLOWED = 40
"""Links that the kernel follows for one path (path_resolution(7))."""


def parts_of(member: Member, limits: Limits) -> tuple[bytes, ...]:
    """Return the names on the way to a member; none for the top.  Raises RefusedError."""
    fault = _fault(member)
    parts = tuple(part for part in member.name.split(b"/") if part not in (b"", b"."))
    if not fault:
        fault = _fault_of_path(member, parts, limits)
    if fault:
        raise RefusedError(f"its member {shown(member.name)} {fault}")
    return parts


def _fault(member: Member) -> str:
    """Return why no tarball may have such a member; empty if one may."""
    if member.kind == members.OTHER:
        return "is a device or a pipe"
    if member.kind == members.SPARSE:
        return "is a sparse file: pack it as an ordinary one"
    if member.mode & _SET_ID and member.kind != members.DIRECTORY:
        return "has a set-id bit"
    if member.kind not in (members.LINK, members.HARD_LINK):
        return ""
    if not member.target or b"\0" in member.target:
        return "is a link to nothing"
    if len(member.target) > _MOST_PATH_BYTES:
        return f"is a link to a path of more than {_MOST_PATH_BYTES} bytes"
    target = shown(member.target)
    if member.kind == members.LINK:
        beside = posixpath.join(posixpath.dirname(member.name), member.target)
        if _escapes(beside, member.target):
            return f"is a link out of the tree: {target}"
    elif _escapes(member.target, member.target):
        return f"is a hard link out of the tree: {target}"
    return ""


def _fault_of_path(member: Member, parts: tuple[bytes, ...], limits: Limits) -> str:
    """Return why no member may have such a name; empty if one may."""
    name = member.name
    if name.startswith(b"/"):
        return "has an absolute path"
    if b".." in parts:
        return "climbs out with .."
    if b"\0" in name or (not parts and member.kind != members.DIRECTORY) or not name:
        return "has no proper name"
    if len(parts) > limits.max_depth:
        return f"is more than {limits.max_depth} folders deep"
    if (
        len(name) > _MOST_PATH_BYTES
        or max(map(len, parts), default=0) > _MOST_NAME_BYTES
    ):
        return (
            f"has too long a name: {_MOST_NAME_BYTES} bytes may be between two slashes, "
            f"and {_MOST_PATH_BYTES} in all"
        )
    return ""


def _escapes(path: bytes, target: bytes) -> bool:
    """Return whether a link leads out of the tree, or above its top folder."""
    normal = posixpath.normpath(path)
    return target.startswith(b"/") or normal == b".." or normal.startswith(b"../")


def check_links(links: dict[bytes, bytes]) -> None:
    """Check all links of a tree, by path, with their targets.  Raises RefusedError.

    A link may leave the tree by way of another link, which no single member shows.
    """
    for path, target in links.items():
        if _leads_out(path, links):
            raise RefusedError(
                f"its member {shown(path)} is a link out of the tree: {shown(target)}"
            )


def _leads_out(path: bytes, links: dict[bytes, bytes]) -> bool:
    """Return whether the kernel, or a program that makes what is not there, gets out."""
    at: list[bytes] = []
    to_go = path.split(b"/")[::-1]
    followed = 0
    while to_go:
        part = to_go.pop()
        if part in (b"", b"."):
            continue
        if part == b"..":
            if not at:
                return True
            at.pop()
            continue
        at.append(part)
        target = links.get(b"/".join(at))
        if target is None:
            continue
        followed += 1
        if followed > _MOST_FOLLOWED:
            return (
                False  # nobody can follow it; each link of the chain is checked alone
            )
        if target.startswith(b"/"):
            return True
        at.pop()
        to_go += target.split(b"/")[::-1]
    return False
