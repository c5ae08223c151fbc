"""The keys of a [notify.NAME] table, their types and their defaults."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gapless.config.toml.schema import Command, Seconds, Table


class Notify(Table, frozen=True):
    """Somebody who is told: by a webhook, a command or a mail."""

    webhook: str = ""
    webhook_file: str = ""
    format: Literal["json", "slack"] = "json"
    token_file: str = ""
    insecure: bool = False
    command: Command = ""
    mail: str | tuple[str, ...] = ()
    mail_from: str = ""
    sendmail: str = "/usr/sbin/sendmail"
    on: tuple[str, ...] | None = None
    apps: tuple[str, ...] = ()
    restarts: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 3
    within_s: Annotated[float, msgspec.Meta(ge=1, le=86_400)] = 600.0
    disk_free_mb: Annotated[int, msgspec.Meta(ge=0, le=1 << 30)] = 200
    timeout_s: Annotated[float, msgspec.Meta(ge=0.1, le=120)] = 10.0
    retry_s: Seconds = 3600.0
