"""What became of one attempt to tell somebody."""

from __future__ import annotations

from typing import NamedTuple

from gapless.base.outside.text import printable

LONGEST_ANSWER = 200


class Attempt(NamedTuple):
    """How it ended; `told` or why not."""

    told: bool
    reason: str = ""
    again: bool = True
    """Whether another attempt may have another end."""
    wait_s: float = 0.0
    """How long the receiver asked us to wait."""


TOLD = Attempt(told=True)


def first_words(content: bytes) -> str:
    """Return what a receiver or a program said, for a line of our own."""
    text = content.decode(errors="replace").strip()
    return printable(" ".join(text.split())[:LONGEST_ANSWER])
