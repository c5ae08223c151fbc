"""Which of several sockets takes the connections of a source address.

The sockets are those of the seats of one generation.  The program (bpf(4), socket(7)) makes
a number of 12 bits, a bucket, of the source address, and the bucket chooses the seat: so an
address keeps its seat while the set of seats is the same.  While a seat is vacant its
addresses go to the others, and no other address moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gapless.supervisor.kernel.source_buckets import BUCKETS, CARRIED_TTL, FOLD, MIX
from gapless.supervisor.sockets.steering import (
    JUMP_IF_EQUAL,
    LOAD_BYTE,
    LOAD_HALF,
    LOAD_WORD,
    NET_OFF,
    RETURN,
    SHIFT_RIGHT,
    Instruction,
)

MOST_OTHERS = 64
"""So many seats share the addresses of those that are vacant, at most: a program has 4096
instructions, two for each seat in each table."""
_JUMP = 0x05
_TO_X, _STORE, _RESTORE = 0x07, 0x02, 0x60
_ADD_X, _XOR_X = 0x0C, 0xAC
_TIMES, _DIVIDE, _MODULO, _AND = 0x24, 0x34, 0x94, 0x54


@dataclass(frozen=True, slots=True)
class _Version:
    """Where a packet of IPv4 or IPv6 has what is read of it."""

    words: int
    address_at: int
    ttl_at: int
    port_at: int


_V4 = _Version(words=1, address_at=12, ttl_at=8, port_at=20)
_V6 = _Version(words=4, address_at=8, ttl_at=7, port_at=40)


def seat_of(bucket: int, present: Sequence[bool]) -> int:
    """Return the place of the seat that a bucket chooses; a seat may be vacant."""
    first = bucket % len(present)
    others = [place for place, there in enumerate(present) if there][:MOST_OTHERS]
    if present[first] or not others:
        return first
    return others[bucket // len(present) % len(others)]


def choose(indices: Sequence[int], present: Sequence[bool]) -> tuple[Instruction, ...]:
    """Return the program that chooses among the sockets of seats, by their indices.

    Where no seat is present all are taken as present.
    """
    if not any(present):
        present = [True] * len(indices)
    there = [index for index, here in zip(indices, present, strict=True) if here]
    others = there[:MOST_OTHERS]
    program = [
        *_bucket(),
        (_STORE, 0, 0, 0),
        (_MODULO, 0, 0, len(indices)),
        *_table({p: i for p, i in enumerate(indices) if present[p]}),
    ]
    if len(there) < len(indices):
        program += [
            (_RESTORE, 0, 0, 0),
            (_DIVIDE, 0, 0, len(indices)),
            (_MODULO, 0, 0, len(others)),
            *_table(dict(enumerate(others))),
        ]
    return (*program, (RETURN, 0, 0, others[-1]))


def _table(indices: dict[int, int]) -> list[Instruction]:
    """Return what ends the program where the accumulator is one of the keys."""
    found: list[Instruction] = []
    for key, index in indices.items():
        found += [(JUMP_IF_EQUAL, 0, 1, key), (RETURN, 0, 0, index)]
    return found


def _bucket() -> list[Instruction]:
    """Return what puts the bucket of a packet into the accumulator."""
    mix: list[Instruction] = []
    for shift, factor in MIX:
        mix += [(_TO_X, 0, 0, 0), (SHIFT_RIGHT, 0, 0, shift), (_XOR_X, 0, 0, 0)]
        mix += [(_TIMES, 0, 0, factor)]
    v6 = _source(_V6, over=0, mix=len(mix))
    v4 = _source(_V4, over=len(v6), mix=len(mix))
    return [
        (LOAD_BYTE, 0, 0, NET_OFF),
        (SHIFT_RIGHT, 0, 0, 4),
        (JUMP_IF_EQUAL, 0, len(v4), 4),
        *v4,
        *v6,
        *mix,
        (_AND, 0, 0, BUCKETS - 1),
    ]


def _source(version: _Version, *, over: int, mix: int) -> list[Instruction]:
    """Return what loads a source address, folded, and jumps *over* what follows to the mix.

    What is carried has its bucket in its port, which jumps over the *mix* too.
    """
    words: list[Instruction] = [(LOAD_WORD, 0, 0, NET_OFF + version.address_at)]
    for number in range(1, version.words):
        words += [(_TIMES, 0, 0, FOLD), (_TO_X, 0, 0, 0)]
        words += [(LOAD_WORD, 0, 0, NET_OFF + version.address_at + 4 * number)]
        words += [(_ADD_X, 0, 0, 0)]
    words += [(_JUMP, 0, 0, over)]
    return [
        (LOAD_BYTE, 0, 0, NET_OFF + version.ttl_at),
        (JUMP_IF_EQUAL, 0, 2, CARRIED_TTL),
        (LOAD_HALF, 0, 0, NET_OFF + version.port_at),
        (_JUMP, 0, 0, len(words) + over + mix),
        *words,
    ]
