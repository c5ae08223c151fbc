"""The keys of a [notify.NAME] table, and what they mean.

As in `app_schema.py`: the text below a key is its description in the reference.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gapless.config.toml.schema import Command, Seconds, Table


class Notify(Table, frozen=True):
    """Somebody who is told: by a webhook, a command or a mail."""

    webhook: str = ""
    """An https:// URL that takes events by POST.

    Example: "https://alarms.example/gapless"
    """
    webhook_file: str = ""
    """The file that has the URL, where the URL is a secret.

    Example: "slack-url"
    """
    format: Literal["json", "slack"] = "json"
    """How a webhook takes events: `slack` is an object with `text`, for Mattermost too.

    Example: "slack"
    """
    token_file: str = ""
    """The file of a token, which is sent as `Authorization: Bearer`.

    Example: "token"
    """
    insecure: bool = False
    """Whether http:// is allowed beyond loopback.

    Example: true
    """
    command: Command = ""
    """A program that reads an event, as JSON, from its input.

    Example: "page-me --team shop"
    """
    mail: str | tuple[str, ...] = ()
    """Addresses that get a mail.

    Example: ["ops@example.org"]
    """
    mail_from: str = ""
    """The sender of the mails.

    Example: "gapless@example.org"
    """
    sendmail: str = "/usr/sbin/sendmail"
    """The program that takes mails.

    Example: "/usr/sbin/sendmail"
    """
    on: tuple[str, ...] | None = None
    """Which events are told; without the key all of them.

    Example: ["failed", "reverted", "held"]
    """
    apps: tuple[str, ...] = ()
    """Of which apps; without the key of all of them.

    Example: ["shop"]
    """
    restarts: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 3
    """More restarts of an app within `within_s` are told.

    Example: 5
    """
    within_s: Annotated[float, msgspec.Meta(ge=1, le=86_400)] = 600.0
    """The time in which restarts are counted.

    Example: 3600
    """
    disk_free_mb: Annotated[int, msgspec.Meta(ge=0, le=1 << 30)] = 200
    """A disk of logs that has less is told; 0: never.

    Example: 1000
    """
    timeout_s: Annotated[float, msgspec.Meta(ge=0.1, le=120)] = 10.0
    """How long one attempt may take.

    Example: 30
    """
    retry_s: Seconds = 3600.0
    """How long after it happened it is tried again to tell.

    Example: 86400
    """
