"""The one edge for what comes out of a coordinator: typed and bounded, or refused.

Rule 1: whoever may write the coordinator has written any bytes.  What passes has the types
and the bounds of its class here, and in `rollout/schemas.py`; all else is a ValueError that
says which field is wrong, and why.
Rule 2: fields that are not known are left out: a newer version may have added them.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec
from msgspec import Meta

from gapless.base import codec
from gapless.coordinator.model import LARGEST_VALUE_BYTES

Kind = TypeVar("Kind")

MOST_VERSION = 10**15
"""Far beyond any key that is written a thousand times a second, and exact in each JSON."""

MOST_LEASE_S = 86_400.0
"""The longest that a record alone can hold a slot."""
_MOST_REASON = 200
"""Characters: both names and values may be long, and a log has a line for each."""

Holder = Annotated[str, Meta(max_length=256, pattern=r"\A[ -~]*\Z")]
"""Who holds a slot: the name of a host, and its agent."""
Nonce = Annotated[str, Meta(max_length=64, pattern=r"\A[0-9a-f]*\Z")]
"""Random, so that a writer recognizes its own record."""
_Decimal = Annotated[str, Meta(pattern=r"\A[0-9]{1,19}\Z")]
"""A number of 64 bits, as the JSON of etcd has it."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What a coordinator holds, or answers; fields that are not known are left out."""


class SlotRecord(Record, frozen=True):
    """The value of a slot."""

    holder: Holder
    ttl_s: Annotated[float, Meta(ge=0, le=MOST_LEASE_S)] = 0.0
    """How long the holder's lease holds; earlier versions wrote none."""


class VersionFile(Record, frozen=True):
    """The content of a version file in a shared directory."""

    format: int
    sha256: Annotated[str, Meta(max_length=64)]
    nonce: Nonce
    after: Nonce
    value: Annotated[str, Meta(max_length=LARGEST_VALUE_BYTES)] | None


class Format(Record, frozen=True):
    """The one field that every version of a record has."""

    format: Annotated[int, Meta(ge=0)]


class EtcdHeader(Record, frozen=True):
    """The header of every answer of etcd."""

    revision: _Decimal


class EtcdEntry(Record, frozen=True):
    """One key; msgspec reads bytes from base64."""

    key: bytes
    mod_revision: _Decimal
    value: bytes = b""


class EtcdRange(Record, frozen=True):
    """The answer to a range request."""

    header: EtcdHeader
    kvs: tuple[EtcdEntry, ...] = ()


class EtcdFound(Record, frozen=True):
    """The range in an answer to a transaction; it has no header of its own."""

    kvs: tuple[EtcdEntry, ...] = ()


class EtcdResponse(Record, frozen=True):
    """The answer to one operation of a transaction."""

    response_range: EtcdFound = EtcdFound()


class EtcdTransaction(Record, frozen=True):
    """The answer to a transaction."""

    header: EtcdHeader
    succeeded: bool = False
    responses: tuple[EtcdResponse, ...] = ()


class EtcdToken(Record, frozen=True):
    """The answer to a login."""

    token: Annotated[str, Meta(max_length=8192, pattern=r"\A[!-~]+\Z")]


class EtcdRefusal(Record, frozen=True):
    """The answer to a request that failed: either field may have the reason."""

    message: Annotated[str, Meta(max_length=8192)] = ""
    error: Annotated[str, Meta(max_length=8192)] = ""


class EtcdWatched(Record, frozen=True):
    """What a line of a watch says."""

    events: tuple[msgspec.Raw, ...] = ()
    canceled: bool = False


class EtcdWatchLine(Record, frozen=True):
    """A line of a watch."""

    result: EtcdWatched = EtcdWatched()


def decode(kind: type[Kind], content: bytes, most_bytes: int) -> Kind:
    """Return the record of a class from its JSON.  Raises ValueError with the reason."""
    _check_size(content, most_bytes)
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise ValueError(_reason(error)) from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        _raise_no_record(error)


def plain(content: bytes, most_bytes: int) -> Any:
    """Return JSON that can be written to a file, handed to the kernel and read again.

    Not a text with NUL, a number beyond 64 bits or not finite, nor more than
    `codec.MOST_LEVELS` levels.  Raises ValueError with the reason.
    """
    _check_size(content, most_bytes)
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        _raise_no_record(error)
    try:
        codec.check_plain(found, "it")
    except ValueError as error:
        raise ValueError(_short(str(error))) from None
    return found


def convert(kind: type[Kind], value: Any) -> Kind:
    """Return what `plain` returned as a record of a class.  Raises ValueError."""
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ValueError(_reason(error)) from None


def _check_size(content: bytes, most_bytes: int) -> None:
    if len(content) > most_bytes:
        raise ValueError(f"it has more than {most_bytes} bytes")


def _raise_no_record(error: Exception) -> NoReturn:
    why = "too many levels" if isinstance(error, RecursionError) else ""
    raise ValueError(f"it is no record{f': {why}' if why else ''}") from None


def _reason(error: Exception) -> str:
    """Return what msgspec says, the field first."""
    what, at, where = str(error).rpartition(" - at `")
    if not at:
        return _short(str(error))
    field = where.rstrip("`").removeprefix("$").removeprefix(".") or "it"
    return _short(f"{field}: {what[:1].lower()}{what[1:]}")


def _short(text: str) -> str:
    return text if len(text) <= _MOST_REASON else f"{text[: _MOST_REASON - 3]}..."
