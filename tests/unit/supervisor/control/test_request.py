"""Requests: what is refused before anything of it is stored."""

from __future__ import annotations

import dataclasses
import json
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapless.base import codec, files
from gapless.base.errors import MisuseError
from gapless.supervisor.control import fields, request
from gapless.supervisor.memory.spec import AppSpec

SPEC: dict[str, Any] = {"name": "shop", "command": ["node"], "directory": "/srv"}


def line(**changed: Any) -> bytes:
    """Return a request to start an app, with some fields of its spec changed."""
    return json.dumps({"op": "start", "spec": SPEC | changed}).encode()


WRONG_SPECS: list[dict[str, Any]] = [
    {"name": 1},
    {"name": "a/b"},
    {"name": "\ud800"},
    {"command": []},
    {"command": [""]},
    {"command": "node"},
    {"command": ["node", "a\0b"]},
    {"command": ["node", None]},
    {"directory": "srv"},
    {"directory": "/srv\0"},
    {"environment": {"A": 1}},
    {"environment": {"A": "\ud800"}},
    {"environment": {"\ud800": "A"}},
    {"environment": {"A\0": "A"}},
    {"environment": {"A=B": "A"}},
    {"environment": {"": "A"}},
    {"environment": ["A"]},
    {"instances": 0},
    {"instances": -1},
    {"instances": True},
    {"instances": 2.0},
    {"instances": 1025},
    {"instances": 1 << 70},
    {"min_healthy_s": -1},
    {"min_healthy_s": float("nan")},
    {"min_healthy_s": float("inf")},
    {"min_healthy_s": 1e300},
    {"min_healthy_s": "2"},
    {"overlap": "sometimes"},
    {"overlap": True},
    {"listen": [""]},
    {"listen": ["localhost:http"]},
    {"listen": ["localhost:99999999"]},
    {"listen": [80]},
    {"outgoing": [0]},
    {"outgoing": [70_000]},
    {"outgoing": [5432.5]},
    {"ready": {"timeout_s": -1}},
    {"ready": {"when": "whenever"}},
    {"ready": {"path": "health"}},
    {"ready": {"path": "/\r\nX: y"}},
    {"ready": {"path": "/\u00e9"}},
    {"stop": {"signal": "SIGNONE"}},
    {"stop": {"kill_timeout_s": -5}},
    {"stop": {"drain_timeout_s": float("nan")}},
    {"restart": {"max": -1}},
    {"restart": {"backoff_s": float("-inf")}},
    {"restart": {"stop_exit_codes": [True]}},
    {"recycle": {"max_unavailable": 0}},
    {"renew": {"cron": "every day"}},
    {"renew": {"memory_bytes": -1}},
    {"log": {"output": "/tmp/a\0b"}},
    {"log": {"date_format": "%Y" * 200}},
    {"log": {"date_format": "\0"}},
    {"log": {"format": "xml"}},
    {"log": {"keep": 1 << 40}},
    {"limits": {"open_files": -1}},
    {"arguments": [["name", "{"]]},
    {"arguments": [["name", "[" * 5000]]},
    {"arguments": [["name"]]},
    {"label": [[[[1]]]]},
]
WRONG_LINES: list[bytes] = [
    b"",
    b"null",
    b"[]",
    b"7",
    b"{}",
    b'{"op": null}',
    b'{"op": 7}',
    b'{"op": ["list"]}',
    b'{"op": "list", "token": {}}',
    b'{"op": "list", "token": "' + b"t" * 300 + b'"}',
    b'{"op": "describe", "app": ["app"]}',
    b'{"op": "start", "spec": []}',
    b'{"op": "start", "spec": {}}',
    b'{"op": "drain", "lead_s": -1}',
    b'{"op": "drain", "lead_s": NaN}',
    b'{"op": "drain", "lead_s": Infinity}',
    b'{"op": "drain", "lead_s": 1e999}',
    b'{"op": "drain", "lead_s": true}',
    b'{"op": "drain", "lead_s": 3601}',
    b'{"op": "scale", "instances": "many"}',
    b'{"op": "scale", "instances": true}',
    b'{"op": "reload", "recycle": "yes"}',
    b'{"op": "permit", "until": "never"}',
    b'{"op": "permit", "refused": "\\ud800"}',
    b'{"op": "signal", "signal": 9}',
    b'{"op": "list"}{"op": "list"}',
    b'{"op": "list", "more": ' + b"[" * 500 + b"]" * 500 + b"}",
    b'{"op": "list", "more": ' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"}",
    b"[" * 200_000,
    b'{"op": "list", "more": ' + b"9" * 10_000 + b"}",
    b'{"op": "list", "more": 18446744073709551616}',
    b"\xff\xfe\x00",
    bytes(range(256)).replace(b"\n", b""),
]


@pytest.mark.parametrize("changed", WRONG_SPECS, ids=repr)
def test_a_spec_out_of_range_is_refused(changed: dict[str, Any]) -> None:
    """The complaint can be sent, and names what is wrong."""
    with pytest.raises(MisuseError) as refused:
        request.read(line(**changed))
    json.dumps(refused.value.describe()).encode()


@pytest.mark.parametrize("wrong", WRONG_LINES, ids=lambda each: repr(each[:40]))
def test_what_is_no_request_is_refused(wrong: bytes) -> None:
    """Whatever the bytes are, the error is the client's."""
    with pytest.raises(MisuseError):
        request.read(wrong)


def test_a_request_of_a_newer_client_is_read() -> None:
    """A field that this version does not know is left alone, at every level."""
    plain = {"op": "start", "spec": SPEC | {"new": 1, "stop": {"new": [1]}}, "new": {}}
    found = request.read(json.dumps(plain).encode())
    assert found.spec == codec.decode(AppSpec, SPEC)


def test_a_variable_that_is_not_utf8_is_accepted() -> None:
    """Python names its bytes by surrogates, and hands the program the same bytes."""
    found = request.read(
        line(environment={"NAME": b"caf\xe9".decode(errors="replace")})
    )
    assert found.spec is not None
    raw = b"caf\xe9".decode(errors="surrogateescape")
    found = request.read(line(environment={"NAME": raw}))
    assert found.spec is not None
    assert found.spec.environment["NAME"] == raw


def test_every_number_of_a_spec_has_a_range() -> None:
    """A field that is added without a range fails here."""
    assert set(_numbers(AppSpec)) == set(fields.SPEC_RANGES)


def _numbers(kind: Any, above: str = "") -> list[str]:
    """Return the fields of a dataclass, and of those in it, that hold numbers."""
    found = []
    for name, hint in typing.get_type_hints(kind).items():
        kinds = {hint, *typing.get_args(hint)}
        if dataclasses.is_dataclass(hint):
            found += _numbers(hint, f"{above}{name}.")
        elif kinds & {int, float}:
            found.append(above + name)
    return found


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(categories=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
_FIELDS = [each.name for each in dataclasses.fields(request.Request)]
_SPEC_FIELDS = [each.name for each in dataclasses.fields(AppSpec)]


@given(
    st.binary()
    | st.dictionaries(st.sampled_from(_FIELDS), _JSON).map(json.dumps)
    | st.dictionaries(st.sampled_from(_SPEC_FIELDS), _JSON).map(lambda s: line(**s))
)
def test_whatever_is_sent_is_a_request_or_a_misuse(sent: bytes | str) -> None:
    """What is accepted can be written to the state, and read again as it was."""
    try:
        found = request.read(sent.encode() if isinstance(sent, str) else sent)
    except MisuseError as error:
        json.dumps(error.describe())
        return
    written = files.as_json(codec.encode(found))
    assert codec.decode(request.Request, json.loads(written)) == found
