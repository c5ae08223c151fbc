"""Dataclasses as JSON-able data, and back: the one typed decoder.

Rule 1: a field that this version does not know is left alone; one that is missing has its
default; one of the wrong type is an error that names it.
Rule 2: nothing is converted that JSON has: a text is no number, and true is no 1.
Rule 3: what comes from outside is checked by `check_plain` first: what passes can be
written to a file, handed to the kernel and read again.  What gapless wrote is not refused.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
import types
import typing
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

Kind = TypeVar("Kind")
_PLAIN = frozenset((str, int, float, bool, type(None)))
MOST_LEVELS = 32
MOST_INTEGER = (1 << 63) - 1
"""What the kernel, other languages and databases take as an integer."""


class WrongTypeError(ValueError):
    """A value is not of the type that its field asks for."""


def encode(value: Any) -> Any:
    """Return a value as JSON-able data; sets are sorted, enums are their values."""
    kind: Any = type(value)
    return value if kind in _PLAIN else _encoder(kind)(value)


@functools.cache
def _encoder(kind: Any) -> Callable[[Any], Any]:
    """Return what encodes the values of a type."""
    if issubclass(kind, Enum):
        return operator.attrgetter("value")
    if issubclass(kind, dict):
        return lambda value: {
            name: each if type(each) in _PLAIN else encode(each)
            for name, each in value.items()
        }
    if issubclass(kind, set | frozenset):
        return lambda value: sorted(map(encode, value))
    if issubclass(kind, list | tuple):
        return lambda value: [
            each if type(each) in _PLAIN else encode(each) for each in value
        ]
    if hasattr(kind, "encoded_once"):
        return _encode_once
    return _encode_fields


def _encode_fields(value: Any) -> dict[str, Any]:
    kind: Any = type(value)
    names, get = _getter(kind)
    return {
        name: each if type(each) in _PLAIN else encode(each)
        for name, each in zip(names, get(value), strict=True)
    }


def decode(kind: type[Kind], plain: Any, at: str = "") -> Kind:
    """Return the value of a dataclass that `encode` wrote, or a later version of it.

    *at* is what complaints call it.  Raises WrongTypeError.
    """
    wanted: Any = kind
    found: Kind = _reader(wanted)(plain, at or kind.__name__)
    return found


TRANSIENT = {"transient": True}
"""The metadata of a field that is not written down: it lives in this process alone."""


def was(*earlier: str) -> dict[str, tuple[str, ...]]:
    """Return the metadata of a field that earlier versions wrote by other names."""
    return {"earlier": earlier}


_MOST_REMEMBERED = 1024
_remembered: dict[int, tuple[Any, dict[str, Any]]] = {}
"""Values whose kind has an attribute `encoded_once`, by identity, as they were encoded."""


def _encode_once(value: Any) -> dict[str, Any]:
    """Return what a large value is encoded as, which never changes: the same each time."""
    found = _remembered.get(id(value))
    if found is None:
        found = _remembered[id(value)] = value, _encode_fields(value)
        if len(_remembered) > _MOST_REMEMBERED:
            del _remembered[next(iter(_remembered))]
    return found[1]


def check_plain(plain: Any, at: str) -> None:
    """Check values that JSON can have and nothing else can take.

    That is a text with a NUL or a lone surrogate (but for those by which Python names bytes
    that are not UTF-8), a number that is not finite or beyond 64 bits, and more than
    `MOST_LEVELS` levels.  Raises WrongTypeError.
    """
    waiting = [(plain, at, 0)]
    while waiting:
        value, name, level = waiting.pop()
        if level > MOST_LEVELS:
            raise WrongTypeError(f"{at} has more than {MOST_LEVELS} levels")
        if isinstance(value, str):
            _check_text(value, name)
        elif isinstance(value, int | float):
            if not math.isfinite(value) or abs(value) > MOST_INTEGER:
                raise _wrong(name, value, "a number of 64 bits")
        elif isinstance(value, list):
            waiting += [(each, f"{name}[]", level + 1) for each in value]
        elif isinstance(value, dict):
            for key, each in value.items():
                _check_text(key, f"a key of {name}")
                waiting.append((each, f"{name}.{key}", level + 1))


def _check_text(text: Any, at: str) -> None:
    if not isinstance(text, str):  # a key of YAML may be anything
        raise _wrong(at, text, "a text")
    if "\0" in text:
        raise _wrong(at, text, "a text without NUL")
    if not text.isascii():
        try:
            text.encode(errors="surrogateescape")
        except UnicodeEncodeError:
            raise _wrong(at, text, "Unicode") from None


@functools.cache
def _written(kind: Any) -> tuple[str, ...]:
    """Return the names of the fields that are written down."""
    return tuple(
        field.name
        for field in dataclasses.fields(kind)
        if not field.metadata.get("transient")
    )


@functools.cache
def _getter(kind: Any) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    """Return the names of the fields that are written down, and what reads all of them."""
    names = _written(kind)
    if len(names) < 2:
        return names, lambda value: tuple(getattr(value, name) for name in names)
    return names, operator.attrgetter(*names)


# --- readers, one for each type -------------------------------------------------------

Reader = Callable[[Any, str], Any]


@functools.cache
def _reader(kind: Any) -> Reader:
    """Return what reads a type.  Raises TypeError for one that no field may have."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return lambda plain, _: plain
    if origin in (types.UnionType, typing.Union):
        return _optional(arguments)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return _many(tuple, arguments[0])
    if origin is tuple:
        return _several(arguments)
    if origin in (list, set, frozenset):
        return _many(origin, arguments[0])
    if origin is dict:
        return _table(arguments[1])
    if isinstance(kind, type) and issubclass(kind, Enum):
        return functools.partial(_enum, kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return functools.partial(_record, kind)
    if kind in _PLAIN:
        return functools.partial(_simple, kind)
    raise TypeError(f"no field may be a {kind}")


def _simple(kind: type, plain: Any, at: str) -> Any:
    allowed = (int, float) if kind is float else kind
    if not isinstance(plain, allowed) or (isinstance(plain, bool) and kind is not bool):
        raise _wrong(at, plain, kind.__name__)
    return plain


def _enum(kind: type[Enum], plain: Any, at: str) -> Any:
    for member in kind:
        if member.value == plain and type(member.value) is type(plain):
            return member
    known = ", ".join(str(member.value) for member in kind)
    raise _wrong(at, plain, f"one of {known}")


def _optional(kinds: tuple[Any, ...]) -> Reader:
    (kind,) = (each for each in kinds if each is not type(None))
    read = _reader(kind)
    return lambda plain, at: None if plain is None else read(plain, at)


def _many(make: Any, kind: Any) -> Reader:
    read = _reader(kind)

    def reader(plain: Any, at: str) -> Any:
        if not isinstance(plain, list):
            raise _wrong(at, plain, "list")
        return make(read(each, f"{at}[{n}]") for n, each in enumerate(plain))

    return reader


def _several(kinds: tuple[Any, ...]) -> Reader:
    readers = [_reader(kind) for kind in kinds]

    def reader(plain: Any, at: str) -> Any:
        if not isinstance(plain, list) or len(plain) != len(readers):
            raise _wrong(at, plain, f"list of {len(readers)}")
        return tuple(
            read(each, f"{at}[{n}]")
            for n, (read, each) in enumerate(zip(readers, plain, strict=True))
        )

    return reader


def _table(kind: Any) -> Reader:
    read = _reader(kind)

    def reader(plain: Any, at: str) -> Any:
        if not isinstance(plain, dict):
            raise _wrong(at, plain, "object")
        return {name: read(each, f"{at}.{name}") for name, each in plain.items()}

    return reader


def _record(kind: Any, plain: Any, at: str) -> Any:
    if not isinstance(plain, dict):
        raise _wrong(at, plain, "object")
    found = {
        name: read(plain[written], f"{at}.{written}")
        for name, (names, read) in _readers(kind).items()
        if (written := next((each for each in names if each in plain), None))
    }
    if missing := [name for name in _required(kind) if name not in found]:
        raise WrongTypeError(f"{at}: {', '.join(missing)} is missing")
    return kind(**found)


@functools.cache
def _readers(kind: Any) -> dict[str, tuple[tuple[str, ...], Reader]]:
    """Return, by field, the names under which it may be written, and its reader."""
    hints = typing.get_type_hints(kind)
    return {
        field.name: (
            (field.name, *field.metadata.get("earlier", ())),
            _reader(hints[field.name]),
        )
        for field in dataclasses.fields(kind)
        if field.name in _written(kind)
    }


@functools.cache
def _required(kind: Any) -> tuple[str, ...]:
    missing = dataclasses.MISSING
    return tuple(
        field.name
        for field in dataclasses.fields(kind)
        if field.default is missing and field.default_factory is missing
    )


def _wrong(at: str, plain: Any, wanted: str) -> WrongTypeError:
    try:
        shown = ascii(plain)
    except RecursionError:
        shown = "nested too deeply"
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    return WrongTypeError(f"{at} is {shown}, not {wanted}")
