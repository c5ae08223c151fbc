"""Made-up input for parsers: pieces of what is meant, put together and damaged."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

SHORT, LONG = 10_000, 1_000_000
"""How many a parser gets in `make test`, and in `make soak`."""
MOST_PIECES = 4
LONGEST_S = 1.0
_LONGEST_COPY_BYTES = 40


def made_up(
    draw: random.Random, pieces: Sequence[bytes], most: int = MOST_PIECES
) -> bytes:
    """Return up to *most* of the pieces, one after the other, damaged in up to 3 places."""
    content = b"".join(draw.choices(pieces, k=draw.randrange(1, most + 1)))
    return damaged(draw, content, pieces)


def damaged(draw: random.Random, content: bytes, pieces: Sequence[bytes]) -> bytes:
    """Change up to 3 places: another byte, some that are missing, a piece more."""
    changed = bytearray(content)
    for _ in range(draw.randrange(4)):
        if not changed:
            break
        at = draw.randrange(len(changed))
        match draw.randrange(4):
            case 0:
                changed[at] = draw.randrange(256)
            case 1:
                del changed[at : at + draw.randrange(1, 9)]
            case 2:
                changed[at:at] = draw.choice(pieces)[:_LONGEST_COPY_BYTES]
            case _:
                changed[at:at] = b"\n"
    return bytes(changed)


def try_all(
    parse: Callable[[bytes], None],
    make: Callable[[random.Random], bytes],
    count: int,
    seed: int,
) -> None:
    """Parse so many; none raises, and none takes a second of the processor.

    Raises AssertionError, which names the seed and the input.
    """
    draw = random.Random(seed)
    for number in range(count):
        content = make(draw)
        try:
            took_s = _took_s(parse, content)
            if took_s >= LONGEST_S:  # a halt of the machine counts too, but not twice
                took_s = _took_s(parse, content)
        except Exception as error:
            raise AssertionError(f"{number} of {seed}: {content[:200]!r}") from error
        assert took_s < LONGEST_S, f"{number} of {seed}: {content[:200]!r}"


def _took_s(parse: Callable[[bytes], None], content: bytes) -> float:
    """Return how long the processor needed."""
    began = time.thread_time()
    parse(content)
    return time.thread_time() - began
