"""From [notify.NAME] tables to targets."""

from __future__ import annotations

from gapless.config.toml.notify import CHOICES, Declared
from gapless.notify.model import (
    Command,
    Format,
    Kind,
    Mail,
    Target,
    Webhook,
)


def target_of(declared: Declared) -> Target:
    """Return whom a table means."""
    table = declared.table
    way: Webhook | Command | Mail
    if declared.url:
        way = Webhook(
            url=declared.url, format=Format(table.format), token=declared.token
        )
    elif declared.words:
        way = Command(words=declared.words)
    else:
        way = Mail(to=declared.mail, sender=table.mail_from, program=table.sendmail)
    kinds = CHOICES if table.on is None else table.on
    return Target(
        name=declared.name,
        way=way,
        kinds=frozenset(map(Kind, kinds)),
        apps=frozenset(table.apps),
        restarts=table.restarts,
        within_s=table.within_s,
        disk_free_bytes=table.disk_free_mb << 20,
        timeout_s=table.timeout_s,
        retry_s=table.retry_s,
    )
