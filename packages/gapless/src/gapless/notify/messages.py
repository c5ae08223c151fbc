"""An event as those read it who are told: JSON, Slack's form, a mail.  Pure.

What goes out has no control character, no secret that our tables know, and an end.
"""

from __future__ import annotations

import json
import math
import re
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

from gapless.base.outside import secrets
from gapless.base.outside.text import printable
from gapless.notify.model import Event, Format, Mail

LONGEST_TEXT = 2000
LONGEST_VALUE = 1000
MOST_ITEMS = 50
LONGEST_MAIL = 20_000
LONGEST_BODY_BYTES = 64 << 10
_SIGNS = {"info": ":white_check_mark:", "warning": ":warning:", "error": ":x:"}
_EVERYBODY = re.compile(r"(?i)@(all|channel|here|everyone)\b")
"""Mattermost wakes them all for such a word."""


def plain(event: Event, host: str, given_up: int) -> dict[str, Any]:
    """Return an event as an object; *given_up* events before it could not be told."""
    found = {
        "id": event.identity,
        "kind": event.kind.value,
        "severity": event.severity,
        "app": event.app or None,
        "host": host,
        "at": event.at,
        "text": event.text,
        "not_told_before": given_up,
        **event.details,
    }
    shown: dict[str, Any] = _seen(secrets.shown(_bounded(found, 0)))
    return shown


def json_body(event: Event, host: str, given_up: int) -> bytes:
    """Return it as one line of JSON."""
    found = plain(event, host, given_up)
    body = json.dumps(found).encode()
    if len(body) > LONGEST_BODY_BYTES:
        kept = ("id", "kind", "severity", "app", "host", "at", "text")
        body = json.dumps({name: found[name] for name in kept}).encode()
    return body + b"\n"


def webhook_body(event: Event, host: str, given_up: int, form: Format) -> bytes:
    """Return what a webhook is sent, in the form that it takes."""
    if form is Format.JSON:
        return json_body(event, host, given_up)
    found = plain(event, host, given_up)
    lines = [f"{_SIGNS[event.severity]} *{_slack(host)}* {_slack(found['text'])}"]
    if found.get("hint"):
        lines.append(f"> {_slack(found['hint'])}")
    if given_up:
        lines.append(f"> {given_up} earlier ones could not be told")
    return json.dumps({"text": "\n".join(lines)}).encode() + b"\n"


def subject(event: Event, host: str) -> str:
    """Return one line."""
    return f"[gapless {host}] {printable(secrets.in_text(event.text[:150]))}"


def mail(event: Event, host: str, given_up: int, to: Mail) -> bytes:
    """Return a mail with its headers, as sendmail(8) reads it."""
    found = plain(event, host, given_up)
    message = EmailMessage(policy=SMTP)
    message["To"] = ", ".join(to.to)
    message["From"] = to.sender or Address("gapless", "gapless", "localhost")
    message["Subject"] = subject(event, host)
    message["Auto-Submitted"] = "auto-generated"
    message["X-Gapless-Id"] = event.identity
    lines = [found["text"], ""]
    for name, value in found.items():
        if name != "text" and value not in (None, "", 0, {}, []):
            shown = value if isinstance(value, str) else json.dumps(value)
            lines.append(f"{name}: {shown}")
    message.set_content("\n".join(lines)[:LONGEST_MAIL])
    # What a program reads from a pipe has the line ends of this system.
    return message.as_bytes().replace(b"\r\n", b"\n")


def _slack(text: str) -> str:
    """Return a text in which Slack finds no link, no mention and no markup of its own."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _EVERYBODY.sub(r"(at)\1", text)


def _bounded(value: Any, level: int) -> Any:
    """Return data that has an end at every level: what is masked then costs little."""
    if isinstance(value, str):
        return value[: LONGEST_VALUE if level > 1 else LONGEST_TEXT]
    if level > 8 or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, dict):
        items = list(value.items())[:MOST_ITEMS]
        return {str(name)[:80]: _bounded(each, level + 1) for name, each in items}
    if isinstance(value, list | tuple):
        return [_bounded(each, level + 1) for each in value[:MOST_ITEMS]]
    return value


def _seen(value: Any) -> Any:
    """Return data all of which can be seen; names are masked as values are."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {
            printable(secrets.in_text(name)): _seen(each)
            for name, each in value.items()
        }
    return [_seen(each) for each in value] if isinstance(value, list) else value
