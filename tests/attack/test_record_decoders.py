"""Fuzzing of all that reads a coordinator: a value of its type comes out, or ValueError."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapless.base.names import ReleaseName, is_address, is_host_name
from gapless.coordinator import decoding, version_files, version_record
from gapless.coordinator.decoding import (
    MOST_VERSION,
    EtcdRange,
    EtcdToken,
    EtcdTransaction,
    EtcdWatchLine,
    SlotRecord,
)
from gapless.coordinator.version_record import VersionRecord
from gapless.rollout import records
from gapless.rollout.model import HostReport, PastHost, PastRollout, Rollout
from gapless.rollout.policy import Policy

SHORT, LONG = 10_000, 1_000_000
APP, NEW, OLD = "shop", "shop-20260101000002", "shop-20260101000001"
PAST = PastRollout(
    number=3, release=NEW, previous=OLD, outcome="done", hosts={"a": PastHost()}
)
POLICY = Policy(canary=("a",), waves=("10%",), freeze=("22:00 - 06:00",))
GOOD: dict[str, bytes] = {
    "rollout": records.encode_rollout(
        Rollout(app=APP, number=7, release=NEW, previous=OLD, policy=POLICY)
    ),
    "host": records.encode_host(
        HostReport(host="a", release=OLD, addresses=("10.0.0.2:1",), health="b:2")
    ),
    "history": records.encode_past(PAST),
    "drains": records.encode_draining({"a": "now"}),
}
DECODERS: dict[str, Callable[[bytes], Any]] = {
    "rollout": partial(records.decode_rollout, app=APP),
    "host": partial(records.decode_host, host="a"),
    "history": partial(records.decode_past, app=APP),
    "drains": records.decode_draining,
}
_ENTRY = {"key": "YQ==", "mod_revision": "3", "value": "eA=="}
_FOUND = {"header": {"revision": "5"}, "kvs": [_ENTRY]}
ANSWERS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "range": (EtcdRange, _FOUND),
    "transaction": (
        EtcdTransaction,
        _FOUND | {"succeeded": True, "responses": [{"response_range": _FOUND}]},
    ),
    "token": (EtcdToken, {"token": "a.b"}),
    "watch": (EtcdWatchLine, {"result": {"events": [{}], "canceled": False}}),
    "slot": (SlotRecord, {"holder": "a 1"}),
}
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 7, 1.5, -0.0, 1e308, float("nan"), float("inf")),
    *(2**53, 2**63, 2**64, -(2**63), 10**30, "", "x", "a\n", "\0", "\x1b[2J", "\ud800"),
    *("\udcff", "../../../../evil", NEW, f"{NEW}/..", "x" * 300, "9" * 400, "1%", "0%"),
    *([], {}, [[]], [1], ["a"], {"a": 1}, {"": None}, {"../x": {}}, ["x"] * 1100),
    *("10.0.0.2:1", ";", "22:00 - 06:00", "Infinity", "-1", "٣", "\u202e", "YQ=", "%%"),
)


def _mutated(plain: Any, chance: random.Random) -> Any:
    """Return JSON in which one place has something odd, or is gone."""
    if isinstance(plain, dict) and plain and chance.random() < 0.9:
        name = chance.choice(sorted(plain))
        rest = {key: each for key, each in plain.items() if key != name}
        if chance.random() < 0.1:
            return rest
        at = chance.choice(("x", "../x", "")) if chance.random() < 0.05 else name
        return rest | {at: _mutated(plain[name], chance)}
    if isinstance(plain, list) and plain and chance.random() < 0.7:
        number = chance.randrange(len(plain))
        return [*plain[:number], _mutated(plain[number], chance), *plain[number + 1 :]]
    return chance.choice(ODD)


def _result(decode: Callable[[], Any]) -> Any:
    """Return what a decoder returns; None if it refuses, by a reason that is short."""
    try:
        return decode()
    except ValueError as error:
        reason = str(error)
    assert 0 < len(reason) < 300
    return None


def _checked(kind: str, content: bytes) -> None:
    """Decode; what comes out is a value that can be used without another look."""
    found = _result(lambda: DECODERS[kind](content))
    if isinstance(found, Rollout):
        for name in filter(None, (found.release, found.previous)):
            assert ReleaseName.of(APP, name)
        assert 1 <= found.policy.slot_ttl_s < 1e9
        assert 1 <= found.number <= MOST_VERSION
        records.encode_rollout(found)
    elif isinstance(found, HostReport):
        assert found.host == "a"
        assert all(map(is_address, found.addresses))
        assert "/" not in found.release
        assert DECODERS["host"](records.encode_host(found)) == found
    elif isinstance(found, PastRollout):
        assert all(map(is_host_name, found.hosts))
        records.encode_past(found)
    json.dumps(str(found)).encode()


def _records(count: int) -> None:
    chance = random.Random(19)
    values = {kind: records.decode(kind, good) for kind, good in GOOD.items()}
    for number in range(count):
        kind = ("rollout", "host", "history", "drains")[number % 4]
        value = _mutated(values[kind], chance)
        _checked(kind, records.encode(kind, value))


def test_records_with_odd_fields() -> None:
    """Their checksum is right: whoever may write the coordinator can compute it."""
    _records(SHORT // 2)


@pytest.mark.soak
@pytest.mark.timeout(14_400)
def test_a_million_records_with_odd_fields() -> None:
    """As above."""
    _records(LONG)


def _answers(count: int) -> None:
    chance = random.Random(19)
    names = sorted(ANSWERS)
    for number in range(count):
        kind, good = ANSWERS[names[number % len(names)]]
        content = json.dumps(_mutated(good, chance)).encode()
        if number % 3 == 0:
            content = _cut(content, chance)
        found = _result(partial(decoding.decode, kind, content, 1 << 20))
        assert found is None or isinstance(found, kind)


def _cut(content: bytes, chance: random.Random) -> bytes:
    """Return some bytes with one that is gone, other or cut off."""
    at = chance.randrange(len(content) + 1)
    return content[:at] + chance.choice(
        (b"", b"\xff", b"\0", b"[" * 3000, content[at + 1 :], b"9" * 5000)
    )


def test_answers_of_etcd_with_odd_fields_and_bytes() -> None:
    """And the records of slots, which are read in the same way."""
    _answers(SHORT)


@pytest.mark.soak
@pytest.mark.timeout(14_400)
def test_a_million_answers_of_etcd() -> None:
    """As above."""
    _answers(LONG)


def _version_files(count: int) -> None:
    chance = random.Random(19)
    good = version_record.encode(3, VersionRecord(nonce="ab", after="", value="x\0ÿ"))
    plain = json.loads(good)
    for number in range(count):
        content = json.dumps(_mutated(plain, chance)).encode()
        content = _cut(content, chance) if number % 2 else content
        _result(partial(version_record.decode, 3, content))


def test_version_files_with_odd_fields_and_bytes() -> None:
    """Neither is their own checksum a reason to trust a type."""
    _version_files(SHORT)


@pytest.mark.soak
@pytest.mark.timeout(14_400)
def test_a_million_version_files() -> None:
    """As above."""
    _version_files(LONG)


@given(st.text(st.sampled_from("0123456789٣²-+. \n"), max_size=300) | st.text())
def test_the_name_of_a_version_is_a_small_number(name: str) -> None:
    """Only the one that gapless would write for it."""
    number = version_files._number(name) if name else None
    if number is not None:
        assert str(number) == name
        assert 0 < number <= MOST_VERSION


@given(st.sampled_from(sorted(DECODERS)), st.binary(max_size=200))
def test_any_bytes(kind: str, content: bytes) -> None:
    """With and without an envelope around them."""
    _checked(kind, content)
    text = base64.b64encode(content).decode()
    _checked(kind, records.encode(kind, {"release": text, "host": text, "hosts": text}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    max_leaves=8,
)


@given(st.sampled_from(sorted(DECODERS)), st.data())
def test_any_json_in_any_field(kind: str, data: st.DataObject) -> None:
    """One field of a good record has it."""
    value = records.decode(kind, GOOD[kind])
    name = data.draw(st.sampled_from(sorted(value)))
    _checked(kind, records.encode(kind, value | {name: data.draw(JSON)}))
