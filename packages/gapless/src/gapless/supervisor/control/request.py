"""A request as a value: read from its line, and checked before anything is stored."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from gapless.base import codec
from gapless.base.errors import MisuseError
from gapless.supervisor.control import fields
from gapless.supervisor.memory.spec import AppSpec

LONGEST_TOKEN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client requests; which fields an op reads is in spec/control.md."""

    op: str
    token: str = ""
    """By it a client finds its operation again."""
    app: str | None = None
    spec: AppSpec | None = None
    specs: list[AppSpec] = field(default_factory=list)
    recycle: bool | None = None
    drops: tuple[str, ...] = ()
    """Ports and addresses that the new generation may leave."""
    permit: bool | None = None
    """Ask before the switch."""
    back: bool | None = None
    """It goes back to an earlier release."""
    instances: int | None = None
    signal: str = ""
    lead_s: float | None = None
    refused: str | None = None
    message: str = ""
    """JSON for the channel of Node."""
    ids: list[int] | None = None
    """Which instances of the app it is for; None: all."""
    number: int = 0
    """The last message that the client knows."""
    only: str = ""
    """What alone is to be told: `names` or `specs` of `list`, `spec` of `describe`."""
    argv: list[str] = field(default_factory=list)
    """The command of the version that is to take the place of this one."""
    package: str = ""
    """The directory of that version."""
    asked_at: float | None = None
    """When the client asked first, on CLOCK_BOOTTIME."""
    apps: list[str] | None = None
    """Which apps to list; None: all."""
    until: float | None = None
    """When a permit ends, on CLOCK_BOOTTIME; None: never."""


def read(line: bytes) -> Request:
    """Return the request on a line.  Raises MisuseError."""
    try:
        plain: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise MisuseError("the request is not a line of JSON") from None
    if not isinstance(plain, dict):
        raise MisuseError("the request is not a JSON object")
    try:
        codec.check_plain(plain, "request")
        request = codec.decode(Request, plain, "request")
    except codec.WrongTypeError as error:
        raise MisuseError(f"the request is wrong: {error}") from error
    for each in (request.spec, *request.specs):
        if each is not None:
            fields.check_spec(each)
    fields.check_lead(request.lead_s)
    if len(request.token) > LONGEST_TOKEN:
        raise MisuseError(f"the token has more than {LONGEST_TOKEN} characters")
    return request
