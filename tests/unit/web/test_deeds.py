"""What a browser may ask for."""

from __future__ import annotations

import json

import pytest

from gapless.base.errors import MisuseError
from gapless.web import deeds
from gapless.web.deeds import Deed, Deeds


def test_an_action_is_read() -> None:
    """Only scale has a number."""
    assert deeds.read(b'{"action": "reload", "app": "shop"}') == Deed(
        action="reload", app="shop"
    )
    found = deeds.read(b'{"action": "scale", "app": "shop", "instances": 3}')
    assert found.instances == 3
    for action in ("hold", "resume", "abort", "rollback"):
        body = {"action": action, "app": "shop", "rollout": 7}
        assert deeds.read(json.dumps(body).encode()).rollout == 7
    assert deeds.read(b'{"action": "rollback", "app": "shop"}').rollout == 0
    body = {"action": "rollback", "app": "shop", "release": "shop-20260101000000"}
    assert deeds.read(json.dumps(body).encode()).release == "shop-20260101000000"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[" * 5000,
        b"[]",
        b'{"action": "delete", "app": "shop"}',
        b'{"action": "reload", "app": "all"}',
        b'{"action": "reload", "app": "../shop"}',
        b'{"action": "reload", "app": "<b>"}',
        b'{"action": "reload"}',
        b'{"action": ["reload"], "app": "shop"}',
        b'{"action": "reload", "app": "shop", "spec": {}}',
        b'{"action": "scale", "app": "shop"}',
        b'{"action": "scale", "app": "shop", "instances": true}',
        b'{"action": "scale", "app": "shop", "instances": 0}',
        b'{"action": "scale", "app": "shop", "instances": 1e9}',
        b'{"action": "hold", "app": "shop"}',
        b'{"action": "hold", "app": "shop", "rollout": true}',
        b'{"action": "abort", "app": "shop", "rollout": "7"}',
        b'{"action": "resume", "app": "shop", "rollout": 1000000000000001}',
        b'{"action": "rollback", "app": "shop", "rollout": 0}',
        b'{"action": "reload", "app": "shop", "rollout": 7}',
        b'{"action": "rollback", "app": "shop", "release": "../shop"}',
        b'{"action": "rollback", "app": "shop", "release": ["shop-20260101000000"]}',
        b'{"action": "reload", "app": "shop", "release": "shop-20260101000000"}',
        json.dumps({"action": "scale", "app": "shop", "instances": 1 << 80}).encode(),
    ],
)
def test_anything_else_is_refused(body: bytes) -> None:
    """Nothing reaches the supervisor that was not checked."""
    with pytest.raises(MisuseError):
        deeds.read(body)


def test_a_browser_is_sent_what_became_of_a_deed() -> None:
    """Its newest state, with texts that can be seen; the oldest deeds are forgotten."""
    done = Deeds()
    row = done.begin(Deed(action="stop", app="shop"))
    assert done.under_way == {1}
    number = done.number
    done.end(row, "failed", "\x1b[31m")
    (sent,) = done.since(number)
    assert (sent["state"], sent["text"]) == ("failed", "\\x1b[31m")
    assert not done.under_way
    for _ in range(100):
        done.end(done.begin(Deed(action="stop", app="shop")), "done", "")
    assert len(done.since(0)) == deeds.KEPT
