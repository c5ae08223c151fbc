"""Source addresses as packets have them, and the buckets that they fall into.

With `affinity` a bucket chooses a seat.  The steering program computes it in the kernel,
and the relay for the clients whose connections it carries; both have to agree.

The mixing is that of MurmurHash3 (fmix32): addresses that follow each other are spread.
"""

from __future__ import annotations

import socket
import struct

BUCKETS = 1 << 12
CARRIED_TTL = 171
"""The time to live of the packets of a connection that the relay carries for a client: its
source port says the bucket.  No packet of another host arrives with it: systems begin at
64, 128 or 255, and no route has as many hops."""
SHARED_TTLS = range(CARRIED_TTL + 1, CARRIED_TTL + 33)
"""The same where apps share an address: one for each of the apps."""
WORD = 0xFFFFFFFF
FOLD = 0x01000193
MIX = ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1))
"""Shift to the right and exclusive or, then times: each step of the mixing."""


def packed(host: str) -> bytes:
    """Return an address as packets have it: IPv4 too if it is one in IPv6 (RFC 4291)."""
    host = host.partition("%")[0]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.inet_pton(family, host)
    mapped = b"\0" * 10 + b"\xff\xff"
    return found[12:] if found.startswith(mapped) else found


def bucket_of(host: str) -> int:
    """Return the bucket of a source address."""
    address = packed(host)
    mixed = 0
    for word in struct.unpack(f">{len(address) // 4}I", address):
        mixed = (mixed * FOLD + word) & WORD
    for shift, factor in MIX:
        mixed = (mixed ^ mixed >> shift) * factor & WORD
    return mixed % BUCKETS
