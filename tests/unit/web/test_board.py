"""What a browser has not been sent yet, and what becomes of texts."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gapless.web.board import Board, row_of, shown


def row(name: str, status: str = "online", **more: Any) -> dict[str, Any]:
    """Return a row of `list` with what matters here."""
    return {"name": name, "status": status, **more}


def test_only_what_changed_is_sent() -> None:
    """A look at which nothing is new says nothing."""
    board = Board()
    assert board.update([row("a"), row("b")])
    sent = board.since(-1)
    assert sent is not None
    assert [each["name"] for each in sent["rows"]] == ["a", "b"]
    assert sent["order"] == ["a", "b"]
    number = board.number
    assert not board.update([row("a"), row("b")])
    assert board.since(number) is None
    assert board.update([row("a"), row("b", "reloading")])
    sent = board.since(number)
    assert sent is not None
    assert [each["status"] for each in sent["rows"]] == ["reloading"]
    assert sent["order"] is None


def test_the_row_of_an_app_that_is_open_is_of_its_own_look() -> None:
    """The table and what is below it say the same."""
    board = Board()
    board.update([row("a"), row("b")])
    number = board.number
    assert board.update_one(row("b", "reloading"))
    assert not board.update_one(row("b", "reloading"))
    assert not board.update_one(row("gone"))
    sent = board.since(number)
    assert sent is not None
    assert [each["name"] for each in sent["rows"]] == ["b"]


def test_times_that_differ_by_less_than_a_second_are_the_same() -> None:
    """The supervisor tells since when an app runs by two clocks."""
    first = row_of(row("a", since="2026-01-01T10:00:00.120+00:00"))
    assert first["since"] == "2026-01-01T10:00:00+00:00"
    assert row_of(row("a", since=None))["since"] is None


def test_an_app_that_goes_is_out_of_the_order() -> None:
    """Who missed looks learns of it as well."""
    board = Board()
    board.update([row("a"), row("b")])
    number = board.number
    board.update([row("a", "reloading"), row("b")])
    board.update([row("a"), row("c")])
    sent = board.since(number)
    assert sent is not None
    assert sent["order"] == ["a", "c"]
    assert {each["name"] for each in sent["rows"]} == {"a", "c"}


LOOKS = st.lists(
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from("xyz")), max_size=8
)


@given(LOOKS, st.sets(st.integers(0, 8)))
def test_whoever_misses_looks_has_the_same_in_the_end(
    looks: list[dict[str, str]], asks_at: set[int]
) -> None:
    """A browser that is slow sees the newest state, and no other."""
    board, seen, number = Board(), dict[str, Any](), -1
    for index, look in enumerate(looks):
        board.update([row(name, status) for name, status in look.items()])
        if index in asks_at or index == len(looks) - 1:
            sent = board.since(number)
            number = board.number
            if sent is not None:
                seen |= {each["name"]: each["status"] for each in sent["rows"]}
                if sent["order"] is not None:
                    seen = {name: seen[name] for name in sent["order"]}
    if looks:
        assert seen == looks[-1]
        assert list(seen) == list(looks[-1])


def test_all_of_a_text_can_be_seen() -> None:
    """Nothing turns the direction of text, steers, or breaks the JSON of an event."""
    found = shown({"a": ["\x1b[31m\u202e", 1, None, True], "b\0": "\udce9"})
    assert found == {"a": ["\\x1b[31m\\u202e", 1, None, True], "b\0": "\\udce9"}
