"""The kernel's evidence about connections that an app has opened itself."""

from __future__ import annotations

import json

import pytest

from gapless.base import codec
from gapless.supervisor.kernel import connections
from gapless.supervisor.kernel.connections import Connection
from gapless.supervisor.memory.calls import Call
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.observe import calls
from gapless.supervisor.observe.calls import is_outstanding


def seen(**changes: object) -> Connection:
    """Return a pooled connection whose last query was quick, with some fields changed."""
    plain: dict[str, object] = {
        "inode": 1,
        "state": connections.ESTABLISHED,
        "local": ("10.0.0.1", 50_000),
        "remote": ("10.0.0.2", 5432),
        "unread": 0,
        "unsent": 0,
        "bytes_received": 100,
        "bytes_acked": 100,
        "last_received_ms": 4000,
        "last_sent_ms": 4000,
        "last_acked_ms": 4000,
        "segments_sent": 5,
    }
    return Connection(**(plain | changes))  # type: ignore[arg-type]  # of a table


@pytest.mark.parametrize(
    ("what", "changes", "expected"),
    [
        ("a quick query was answered", {}, False),
        ("a slow one was", {"last_sent_ms": 9000}, False),
        ("ours were the last bytes", {"last_sent_ms": 3996}, True),
        ("nothing was asked", {"segments_sent": 0, "bytes_received": 0}, False),
        ("only a greeting came", {"segments_sent": 0}, False),
        ("the log-in is not answered", {"bytes_received": 0}, True),
        ("not all of the query is there", {"unsent": 30}, True),
        ("the answer is not read", {"unread": 30}, True),
        ("we hung up", {"state": connections.FIN_WAIT2, "last_sent_ms": 10}, False),
        ("they hung up", {"state": connections.CLOSE_WAIT, "last_sent_ms": 1}, False),
        ("asked right after an answer", {"last_acked_ms": 3956}, True),
        ("a keep-alive probe was answered", {"last_acked_ms": 500}, False),
    ],
)
def test_an_answer_is_outstanding(
    what: str, changes: dict[str, object], *, expected: bool
) -> None:
    """An answer is outstanding if the app's bytes are the last on the connection."""
    assert is_outstanding(seen(**changes)) is expected, what


def test_calls_are_named_by_where_they_go() -> None:
    """The oldest call comes first; a mapped IPv4 address is shown as IPv4."""
    found = [
        seen(last_sent_ms=200),
        seen(inode=2, last_sent_ms=3200, remote=("::ffff:10.0.0.3", 3306)),
        seen(inode=3, last_sent_ms=100, remote=("fd00::1", 5432)),
        seen(inode=4, last_sent_ms=100),
        seen(inode=5),
    ]
    waiting = calls.outstanding(found, frozenset({1, 2, 3, 5}))
    assert [(call.to, call.for_s) for call in waiting] == [
        ("10.0.0.3:3306", 3.2),
        ("10.0.0.2:5432", 0.2),
        ("[fd00::1]:5432", 0.1),
    ]


def call(inode: int, for_s: float = 2.0) -> Call:
    """Return a call to a database."""
    return Call(inode=inode, turn=7, to="10.0.0.2:5432", for_s=for_s)


def test_a_call_whose_connection_is_gone_after_the_stop_signal_is_abandoned() -> None:
    """A call whose connection is still open and idle was answered."""
    before = (call(1), call(2), call(3))
    kept = calls.keep_abandoned(before, (call(3, 2.1),), frozenset({2, 3}))
    assert [(each.inode, each.for_s) for each in kept] == [(3, 2.1), (1, 2.0)]


def test_a_call_that_begins_after_the_stop_signal_is_not_abandoned() -> None:
    """The app closes its connections itself then; only earlier calls are abandoned."""
    found = [seen(last_sent_ms=300), seen(inode=2, last_sent_ms=100)]
    waiting = calls.outstanding(found, frozenset({1, 2}), since_stop_s=0.2)
    assert [each.before_stop for each in waiting] == [True, False]
    kept = calls.keep_abandoned(waiting, (), frozenset())
    assert [each.inode for each in kept] == [1]


def test_only_a_long_call_keeps_a_seat_open_for_new_connections() -> None:
    """Quick calls never stop coming; a new supervisor reads the calls from the record."""
    record = InstanceRecord(key="app/1/0/1", ordinal=0, started=0.0)
    record.calls = (call(1, 2.0), call(2, 0.2))
    again = codec.decode(InstanceRecord, json.loads(json.dumps(codec.encode(record))))
    assert again.calls == record.calls
    assert again.value().owed == 1
    told = "connection to 10.0.0.2:5432, the answer outstanding for"
    assert again.under_way() == f"{told} 2.0 s, {told} 0.2 s"
