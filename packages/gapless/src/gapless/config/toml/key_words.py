"""What a key may be, in words, from its type: for messages and for the reference.  Pure."""

from __future__ import annotations

import inspect
import json
import types
import typing
from typing import Annotated, Any, Literal

import msgspec

_ONE = {str: "a text", int: "a whole number", float: "a number"}
_SEVERAL = {str: "texts", int: "whole numbers", float: "numbers"}
_UNITS = {
    "_s": "seconds",
    "_mb": "MiB",
    "_hours": "hours",
    "_percent": "per cent",
}
_SYNONYMS = {
    "env": "environment",
    "env_file": "environment_file",
    "environment_files": "environment_file",
    "cwd": "directory",
    "dir": "directory",
    "path": "directory",
    "script": "command",
    "args": "command",
    "exec": "command",
    "cmd": "command",
    "uid": "user",
    "gid": "group",
    "scale": "instances",
    "processes": "instances",
    "workers": "instances",
    "replicas": "instances",
    "health": "ready",
    "healthcheck": "alive",
    "depends_on": "after",
    "logs": "log",
    "kill_timeout": "stop",
    "max_memory_restart": "renew",
    "cron_restart": "renew",
    "watch": "renew",
    "max_restarts": "restart",
    "autorestart": "restart",
    "out_file": "log",
    "error_file": "log",
    "hosts": "slots",
    "workdir": "directory",
    "working_dir": "directory",
    "working_directory": "directory",
    "WorkingDirectory": "directory",
    "entrypoint": "command",
    "ExecStart": "command",
    "program": "command",
    "run": "command",
    "interpreter": "command",
    "numprocs": "instances",
    "count": "instances",
    "port": "environment",
    "vars": "environment",
    "Environment": "environment",
    "EnvironmentFile": "environment_file",
    "User": "user",
    "Group": "group",
    "UMask": "umask",
    "Restart": "restart",
    "After": "after",
    "requires": "after",
    "readiness": "ready",
    "wait_ready": "ready",
    "listen_timeout": "ready",
    "liveness": "alive",
    "memory": "limits",
    "ulimits": "limits",
    "pidfile": "pid_file",
    "timeout": "timeout_s",
    "file": "output",
    "stdout": "output",
    "stderr": "error",
    "stdout_logfile": "log",
    "stderr_logfile": "log",
    "stopsignal": "stop",
    "max_size": "rotate_mb",
    "retain": "keep",
}
"""What other programs call a key."""


def synonym(key: str, known: typing.Collection[str]) -> str:
    """Return the key that is meant by a word of another program; empty if none is."""
    found = _SYNONYMS.get(key, "")
    return found if found in known else ""


def unit(key: str) -> str:
    """Return the unit that the name of a key ends in; empty if it has none."""
    return next((word for end, word in _UNITS.items() if key.endswith(end)), "")


def is_table(kind: Any) -> bool:
    """Return whether a type is the schema of a table."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def kinds(annotation: Any) -> tuple[Any, ...]:
    """Return the types of a union, else the one type; without None."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        inner = typing.get_args(annotation)
        return tuple(each for each in inner if each is not types.NoneType)
    return (annotation,)


def allowed(annotation: Any) -> str:
    """Return what a key of a type may be: `a text or a list of texts`."""
    return allowed_of(kinds(annotation))


def allowed_of(some: typing.Iterable[Any]) -> str:
    """Return what a key of one of several types may be."""
    found: list[str] = []
    for kind in some:
        if typing.get_origin(kind) is Literal:
            found += [json.dumps(each) for each in typing.get_args(kind)]
        elif kind is bool:
            found += ["true", "false"]
        else:
            found.append(_words(kind))
    return _listed(list(dict.fromkeys(found)))


def _listed(words: list[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _words(kind: Any) -> str:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return _bounded(inner[0], inner[1])
    if origin in (list, tuple):
        several = [_several(each) for each in kinds(inner[0])]
        return f"a list of {_listed(list(dict.fromkeys(several)))}"
    if origin is dict:
        return "a table of texts, numbers, true and false"
    return "a table" if is_table(kind) else _ONE[kind]


def _several(kind: Any) -> str:
    origin = typing.get_origin(kind)
    if origin in (list, tuple):
        return _words(kind).replace("a list", "lists", 1)
    if origin is Annotated:
        inner, meta = typing.get_args(kind)
        if meta.title:
            return str(meta.title)
        return _bounded(inner, meta).replace(_ONE[inner], _SEVERAL[inner], 1)
    return _SEVERAL[kind]


def _bounded(kind: Any, meta: msgspec.Meta) -> str:
    """Return a type with its bounds: `a number from 0 to 86400`."""
    if meta.title:
        return meta.title
    words = allowed(kind)
    if meta.min_length:
        words += " that is not empty"
    if meta.gt is not None:
        words += f" above {meta.gt:g}"
    if meta.ge is not None:
        words += f" from {meta.ge:g}"
        words += f" to {meta.le:.10g}" if meta.le is not None else " on"
    elif meta.le is not None:
        words += f", at most {meta.le:.10g}"
    return words


def descriptions(schema: type[Any]) -> dict[str, tuple[str, str]]:
    """Return the description and the example of each key of a table: the text below it.

    The example is TOML, and empty if there is none.
    """
    if schema not in _read:
        _read[schema] = _from_source(schema)
    return _read[schema]


_read: dict[type[Any], dict[str, tuple[str, str]]] = {}


def _from_source(schema: type[Any]) -> dict[str, tuple[str, str]]:
    # No code keeps the text below an attribute: it is read from the source.
    import ast  # noqa: PLC0415 - slow, and needed only to explain

    (tree,) = ast.parse(inspect.getsource(schema)).body
    assert isinstance(tree, ast.ClassDef)
    found: dict[str, tuple[str, str]] = {}
    for before, after in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(before, ast.AnnAssign)
            and isinstance(before.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            text = " ".join(str(after.value.value).split())
            said, _, example = text.partition("Example: ")
            found[before.target.id] = (said.strip(), example.strip())
    return found
