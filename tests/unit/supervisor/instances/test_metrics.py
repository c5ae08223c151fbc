"""What a program sends on Node's channel, whatever it is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gapless.supervisor.instances import metrics, notify
from gapless.supervisor.instances.heard import MOST, Heard


def heard(*messages: Any) -> notify.Notification:
    """Return what lines of these messages say."""
    lines = b"".join(json.dumps(each).encode() + b"\n" for each in messages)
    found, rest = notify.parse_lines(lines)
    assert rest == b""
    return found


def kept(*messages: Any) -> tuple[metrics.Metrics, metrics.Actions]:
    """Return which metrics and actions are kept of some messages."""
    measured: metrics.Metrics = {}
    actions: metrics.Actions = {}
    found = heard(*messages)
    for content in found.metrics:
        metrics.take_metrics(measured, content)
    for content in found.actions:
        metrics.take_action(actions, content)
    return measured, actions


def monitor(**each: Any) -> dict[str, Any]:
    """Return a message with metrics."""
    return {"type": "axm:monitor", "data": each}


def action(**each: Any) -> dict[str, Any]:
    """Return a message that offers an action."""
    return {"type": "axm:action", "data": each}


def test_the_newest_value_of_a_metric_stays() -> None:
    """As @pm2/io sends them, each second anew."""
    full = {"value": "5.98", "type": "internal/v8", "unit": "MiB", "historic": True}
    measured, actions = kept(
        monitor(heap=full, users={"value": 1}),
        monitor(users={"value": 2}, plain=7),
        action(action_name="flush", arity=1, action_type="custom"),
        "ready",
    )
    bare = {"type": "", "unit": "", "historic": False}
    assert measured == {
        "heap": full,
        "users": {"value": 2, **bare},
        "plain": {"value": 7, **bare},
    }
    assert actions == {"flush": 1}


@pytest.mark.parametrize(
    "message",
    [
        {"type": "axm:monitor"},
        {"type": "axm:monitor", "data": []},
        {"type": "axm:monitor", "data": "x"},
        monitor(a=None),
        monitor(a={}),
        monitor(a={"value": {}}),
        monitor(a={"value": 1 << 63}),
        monitor(**{"": 1}),
        action(),
        action(action_name=5),
        action(action_name=""),
        action(action_name="x" * 101),
        action(action_name="a\x1b[2Jb"),
        {"type": "axm:action", "data": None},
        {"type": ["axm:action"]},
        [[]],
        0,
    ],
)
def test_nonsense_is_left_out(message: Any) -> None:
    """It neither raises nor stays."""
    assert kept(message) == ({}, {})


def test_what_is_kept_is_bounded_and_can_be_shown() -> None:
    """A program that means harm fills neither memory nor a terminal."""
    many = {f"m{n}": n for n in range(500)}
    flood = [action(action_name=f"a{n}", arity=n - 2) for n in range(500)]
    ugly = monitor(
        **{"\x1b[2J" + "n" * 5000: {"value": "\x9b" * 5000, "unit": "\n" * 99}}
    )
    measured, actions = kept(ugly, monitor(**many), monitor(late=1), *flood)
    assert len(measured) == metrics.MOST_METRICS
    assert len(actions) == metrics.MOST_ACTIONS
    assert "late" not in measured
    text = json.dumps([measured, actions])
    assert text.isprintable()
    assert len(text) < 10_000
    raw = b'{"type":"axm:monitor","data":{"a":NaN,"b":1e999,"c":"\\ud800","d":1}}\n'
    (content,) = notify.parse_lines(raw)[0].metrics
    odd: metrics.Metrics = {}
    metrics.take_metrics(odd, content)
    assert {name: each["value"] for name, each in odd.items()} == {
        "c": "\\ud800",
        "d": 1,
    }
    deep = b"[" * 100_000 + b"\n" + b'"ready"\n'
    assert notify.parse_lines(deep)[0].ready


def test_other_messages_are_kept_for_a_while() -> None:
    """The newest of them, if they are not long; `ready` is none of them."""
    found = heard("ready", "hello", {"type": "process:msg", "data": 1}, "x" * 9000)
    assert found.messages == (b'"hello"', b'{"type": "process:msg", "data": 1}')
    listens = Heard()
    for number in range(MOST + 10):
        listens.add("app", 0, 1, str(number).encode())
    assert len(listens.since(0)) == MOST
    assert [each["message"] for each in listens.since(MOST + 8)] == [MOST + 8, MOST + 9]
    assert listens.since(10_000) == listens.since(0), "numbers of a former supervisor"
    for line in (b"{", b"NaN", b"\xff", b"[" * 5000, b'"\\ud800"', b"\0"):
        listens.add("app", 0, 1, line)
    assert listens.since(listens.last - 6) == []


def test_a_flood_costs_little_and_hides_no_metric_for_ever() -> None:
    """What comes at once is parsed in part; the next piece begins anew."""
    lines = b'{"type":"axm:monitor","data":{"a":1}}\n' * 1700 + b"7\n" * 900
    found, _ = notify.parse_lines(lines)
    assert len(found.metrics) == notify.MOST_PARSED
    assert len(found.messages) == notify.MOST_MESSAGES
    flood, rest = notify.parse_lines(b"x" * 70_000)
    assert (flood, len(rest)) == (notify.Notification(), notify.LONGEST_LINE_BYTES + 1)
    again, rest = notify.parse_lines(rest + b'\n"ready"\n')
    assert (again.ready, again.messages, rest) == (True, (), b"")
