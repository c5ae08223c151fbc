"""What the schemas of the tables in a gapless.toml share: types with their bounds."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gapless.supervisor.decide.addresses import DROPPED
from gapless.supervisor.memory.spec import Affinity, Overlap, Taking

Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400 * 30)]
MOST_INSTANCES = 1024
Count = Annotated[int, msgspec.Meta(ge=1, le=MOST_INSTANCES)]
Command = str | list[str]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Dropped = (
    Port | Annotated[str, msgspec.Meta(pattern=DROPPED, title="a HOST:PORT or a path")]
)
"""A port, an address or a path that a new generation may leave."""
UrlPath = Annotated[str, msgspec.Meta(pattern="^/", title="a path that begins with /")]
Patterns = tuple[
    Annotated[str, msgspec.Meta(min_length=1, title="patterns of paths")], ...
]
MayOverlap = bool | Literal["auto"]
OVERLAP: dict[bool | str, Overlap] = {
    "auto": Overlap.AUTO,
    True: Overlap.ALWAYS,
    False: Overlap.NEVER,
}
"""What each value of the key `overlap` means."""
MayTake = bool | Literal["auto"]
TAKEOVER: dict[bool | str, Taking] = {
    "auto": Taking.AUTO,
    True: Taking.ALWAYS,
    False: Taking.NEVER,
}
"""What each value of the key `takeover` means."""
Word = Annotated[
    str, msgspec.Meta(pattern="^([A-Za-z0-9_.-]{1,64})?$", title="a word, or empty")
]
NOT_WITH_AFFINITY = (
    "apps that share a port get new connections at random, and with affinity the source "
    "address chooses: one of the two has to go"
)
"""What is said of `share_ports` where `affinity` is set as well."""
Affine = Literal["none", "address"]
AFFINITY: dict[str, Affinity] = {each.value: each for each in Affinity}
"""What each value of the key `affinity` means."""


class Table(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A table in which an unknown key is an error."""
