"""One attempt to tell a target of an event, in the way that it wants."""

from __future__ import annotations

import socket

from gapless.notify import messages, programs, webhook
from gapless.notify.attempt import Attempt
from gapless.notify.model import Command, Event, Mail, Target, Webhook


def tell(target: Target, event: Event, given_up: int) -> Attempt:
    """Try it once; it takes `timeout_s` at most."""
    host = socket.gethostname()
    match target.way:
        case Webhook() as way:
            body = messages.webhook_body(event, host, given_up, way.format)
            return webhook.send(way, body, target.timeout_s)
        case Command() as way:
            body = messages.json_body(event, host, given_up)
            found = messages.plain(event, host, given_up)
            variables = {
                "GAPLESS_EVENT": event.kind.value,
                "GAPLESS_EVENT_APP": event.app,
                "GAPLESS_EVENT_SEVERITY": event.severity,
                "GAPLESS_EVENT_TEXT": found["text"],
            }
            return programs.run(way.words, body, target.timeout_s, variables)
        case Mail() as way:
            content = messages.mail(event, host, given_up, way)
            return programs.send_mail(way, content, target.timeout_s)
