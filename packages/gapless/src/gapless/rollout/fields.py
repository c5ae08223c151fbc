"""The types of the fields of records, with their bounds: what a decoder checks.  Pure.

A name, a release or an address has a rule of its own, in `base/names.py`.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from gapless.coordinator.decoding import MOST_LEASE_S, MOST_VERSION

MOST_TEXT = 16_384
MOST_HOSTS = 20_000
MOST_SECONDS = 1e8
"""Three years: the longest that anything waits for, and less than a timer can take."""

Number = Annotated[int, Meta(ge=0, le=MOST_VERSION)]
"""Of a rollout, an attempt or a heartbeat."""
Count = Annotated[int, Meta(ge=0, le=MOST_HOSTS)]
Text = Annotated[str, Meta(max_length=MOST_TEXT)]
"""For people; what cannot be printed is escaped when it is read."""
Line = Annotated[str, Meta(max_length=256)]
Signature = Annotated[str, Meta(max_length=16_384)]
"""Of ssh-keygen, which judges it; empty: none."""
Time = Annotated[str, Meta(max_length=40, pattern=r"\A[0-9A-Za-z:.+ -]*\Z")]
"""ISO 8601, for people; no clock is compared with it."""
Digest = Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{64})?\Z")]
"""SHA-256, or empty."""
Token = Annotated[str, Meta(max_length=64, pattern=r"\A[0-9A-Za-z_-]*\Z")]
Share = Annotated[str, Meta(max_length=6, pattern=r"\A0*[1-9][0-9]*%?\Z")]
"""A number of hosts, or so many per cent."""
Seconds = Annotated[float, Meta(ge=0, le=MOST_SECONDS)]
GoneSeconds = Annotated[float, Meta(ge=0, le=MOST_LEASE_S)]
"""For how long a record alone can keep a host alive."""
LeaseSeconds = Annotated[float, Meta(ge=1, le=MOST_SECONDS)]
"""Shorter, and renewals would be all that hosts do."""
Lines = Annotated[tuple[Line, ...], Meta(max_length=1000)]
Shares = Annotated[tuple[Share, ...], Meta(max_length=100)]
MOST_RELEASES = 100
Releases = Annotated[tuple[Line, ...], Meta(max_length=MOST_RELEASES)]
MOST_ADDRESSES = 256
Addresses = Annotated[tuple[Line, ...], Meta(max_length=MOST_ADDRESSES)]
