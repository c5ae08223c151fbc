"""`pm2 trigger APP ACTION [PARAMETER]`: have an app do what it offers by @pm2/io."""

from __future__ import annotations

import json
import time
from typing import Any

from gapless.base import clock
from gapless.base.errors import DONE, FAILED, MisuseError, NotFoundError
from gapless.cli import selection
from gapless.cli.pm2.words import Words
from gapless.client import Client

REPLY_S, POLL_S = 3.0, 0.1


def run(words: Words) -> int:
    """Send the action to each instance that offers it; print what they reply."""
    if len(words.about) not in (2, 3):
        raise MisuseError("pm2 trigger APP ACTION [PARAMETER]")
    word, action, *parameter = words.about
    client = Client(starts=False)
    message = json.dumps({"msg": action, "opts": parameter[0]} if parameter else action)
    heard = client.request("messages", number=0)["last"]
    sent: list[int] = []
    offered: set[str] = set()
    for app in selection.names(client, selection.of_alias(client, [word])):
        rows = client.request("describe", app=app)["instances_detail"]
        if word.isdigit() and word != app:
            rows = [row for row in rows if row["id"] == int(word)]
        offered |= {name for row in rows for name in row.get("actions", {})}
        ids = [row["id"] for row in rows if action in row.get("actions", {})]
        if ids:
            sent += client.request("send", app=app, ids=ids, message=message)["sent"]
    if not sent:
        raise NotFoundError(
            f"{word}: no instance offers the action {action!r}",
            hint=f"it offers {', '.join(sorted(offered)) or 'none'}",
        )
    print(f"{action}: sent to {', '.join(map(str, sent))}")
    return _replies(client, action, sent, heard)


def _replies(client: Client, action: str, sent: list[int], heard: int) -> int:
    """Print the replies as they come; return an exit code."""
    waiting, deadline = set(sent), clock.monotonic() + REPLY_S
    while waiting and clock.monotonic() < deadline:
        answer = client.request("messages", number=heard)
        heard = answer["last"]
        for each in answer["messages"]:
            reply = _reply(each["message"], action)
            if reply is not None and each["id"] in waiting:
                waiting.discard(each["id"])
                print(f"[{each['app']}:{each['id']}] {json.dumps(reply['return'])}")
        if waiting:
            time.sleep(POLL_S)
    for identity in sorted(waiting):
        print(f"[{identity}] has not replied within {REPLY_S:g} s")
    return FAILED if waiting else DONE


def _reply(message: Any, action: str) -> dict[str, Any] | None:
    """Return the reply to an action that a message is, if it is one."""
    if not isinstance(message, dict) or message.get("type") != "axm:reply":
        return None
    found = message.get("data")
    if not isinstance(found, dict) or found.get("action_name") != action:
        return None
    return {"return": found.get("return")}
