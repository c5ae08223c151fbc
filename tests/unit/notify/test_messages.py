"""What goes out: in the form that is asked for, bounded, masked, and without tricks."""

from __future__ import annotations

import email
import email.policy
import json
from typing import Any

import pytest

from gapless.notify import messages
from gapless.notify.model import Event, Format, Kind, Mail

HOSTILE = [
    "\x1b]0;x\x07\r\nBcc: everybody@example.org",
    "<!channel> <https://evil.example|click> & <@U123>",
    "@channel @all @HERE",
    "\u202egnp.exe",
    "\udc80\udcff",
    "x" * 1_000_000,
    "password=hunter2secret postgres://u:hunter2secret@db/x",
]


def event(text: str = "shop: reload done", **details: Any) -> Event:
    """Return an event."""
    return Event(
        identity="abc",
        kind=Kind.FAILED,
        app="shop",
        text=text,
        at="now",
        details=details,
    )


def test_json_has_what_programs_need() -> None:
    """One object on one line."""
    body = messages.json_body(event(reason="why", generation={"new": 4}), "web1", 2)
    assert body.count(b"\n") == 1
    found = json.loads(body)
    assert (found["id"], found["kind"], found["severity"]) == ("abc", "failed", "error")
    assert (found["host"], found["app"], found["reason"]) == ("web1", "shop", "why")
    assert found["not_told_before"] == 2
    assert found["generation"] == {"new": 4}


def test_slack_gets_one_text() -> None:
    """With what to do, and what could not be told before."""
    body = messages.webhook_body(event(hint="look"), "web1", 3, Format.SLACK)
    found = json.loads(body)
    assert set(found) == {"text"}
    assert found["text"].splitlines() == [
        ":x: *web1* shop: reload done",
        "> look",
        "> 3 earlier ones could not be told",
    ]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_stays_a_text(text: str) -> None:
    """No control character, no mention, no link, no secret; and it has an end."""
    hostile = event(text, reason=text, hint=text, names=[{text: text}] * 1000)
    for body in (
        messages.json_body(hostile, "web1", 0),
        messages.webhook_body(hostile, "web1", 0, Format.SLACK),
        messages.mail(hostile, "web1", 0, Mail(to=("ops@example.org",))),
    ):
        assert len(body) <= messages.LONGEST_BODY_BYTES + 1
        assert b"hunter2secret" not in body
        assert b"\x1b" not in body
        assert "\u202e".encode() not in body
        assert b"\\u001b" not in body
    slack = json.loads(messages.webhook_body(hostile, "web1", 0, Format.SLACK))["text"]
    assert "<" not in slack
    assert "@channel" not in slack
    assert "@all" not in slack.lower()


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_adds_a_header_to_a_mail(text: str) -> None:
    """Nor another reader."""
    content = messages.mail(
        event(text), "web1", 0, Mail(to=("ops@example.org", "root"))
    )
    found = email.message_from_bytes(content, policy=email.policy.default)
    assert set(found) == {
        *("To", "From", "Subject", "Auto-Submitted", "X-Gapless-Id"),
        *("Content-Type", "Content-Transfer-Encoding", "MIME-Version"),
    }
    assert found["To"] == "ops@example.org, root"
    assert "\r" not in content.decode()
    assert found.get_content().strip()
