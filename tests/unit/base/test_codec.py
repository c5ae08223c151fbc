"""Values as data, and back: what other versions write, and what nobody should."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapless.base import codec
from gapless.base.codec import TRANSIENT, WrongTypeError, was


class Colour(Enum):
    """One of two."""

    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Inner:
    """A value within a value."""

    number: int


@dataclass(slots=True)
class Outer:
    """One field of each type that there may be."""

    name: str
    ratio: float = 0.5
    flag: bool = False
    maybe: int | None = None
    colour: Colour = Colour.RED
    inner: Inner = Inner(1)
    words: tuple[str, ...] = ()
    pairs: tuple[tuple[str, int], ...] = ()
    names: set[str] = field(default_factory=set)
    table: dict[str, Inner] = field(default_factory=dict)
    anything: Any = None
    socket: int = field(default=-1, metadata=TRANSIENT)
    newer: str = field(default="", metadata=was("old", "older"))


def through_json(value: Any) -> Any:
    """Return data as another process gets it."""
    return json.loads(json.dumps(value))


@given(st.builds(Outer, socket=st.just(-1), anything=st.none() | st.integers()))
def test_what_is_written_is_read(value: Outer) -> None:
    """By way of JSON, every field but those of this process alone."""
    assert codec.decode(Outer, through_json(codec.encode(value))) == value


def test_a_field_of_this_process_alone_is_not_written() -> None:
    """A descriptor means nothing to another process."""
    plain = codec.encode(Outer("a", socket=7))
    assert "socket" not in plain
    assert codec.decode(Outer, plain | {"socket": 9}).socket == -1


@pytest.mark.parametrize("name", ["newer", "old", "older"])
def test_a_field_is_found_by_its_earlier_names(name: str) -> None:
    """Of a version that ran before this one."""
    assert codec.decode(Outer, {"name": "a", name: "value"}).newer == "value"


def test_what_a_later_version_adds_is_left_alone() -> None:
    """And what an earlier one does not have is the default."""
    assert codec.decode(Outer, {"name": "a", "from_later": [1]}) == Outer("a")


@pytest.mark.parametrize(
    ("plain", "complaint"),
    [
        ({"name": 1}, "Outer.name is 1, not str"),
        ({}, "Outer: name is missing"),
        ({"name": "a", "ratio": "0.5"}, "Outer.ratio is '0.5', not float"),
        ({"name": "a", "ratio": True}, "Outer.ratio is True, not float"),
        ({"name": "a", "flag": 1}, "Outer.flag is 1, not bool"),
        ({"name": "a", "maybe": "1"}, "Outer.maybe is '1', not int"),
        ({"name": "a", "colour": "green"}, "is 'green', not one of red, blue"),
        ({"name": "a", "inner": [1]}, "Outer.inner is [1], not object"),
        ({"name": "a", "inner": {"number": 1.5}}, "Outer.inner.number is 1.5, not int"),
        ({"name": "a", "words": "ab"}, "Outer.words is 'ab', not list"),
        ({"name": "a", "words": ["a", 1]}, "Outer.words[1] is 1, not str"),
        ({"name": "a", "pairs": [["a"]]}, "Outer.pairs[0] is ['a'], not list of 2"),
        ({"name": "a", "table": {"x": None}}, "Outer.table.x is None, not object"),
        ([], "Outer is [], not object"),
        ({"name": [0] * 1000}, "..., not str"),
    ],
)
def test_what_is_wrong_is_named(plain: Any, complaint: str) -> None:
    """With its place; and no complaint is longer than a line or two."""
    with pytest.raises(WrongTypeError) as caught:
        codec.decode(Outer, plain)
    assert complaint in str(caught.value)
    assert len(str(caught.value)) < 200
