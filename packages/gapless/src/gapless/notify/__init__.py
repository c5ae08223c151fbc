"""People are told what happened: by a webhook, a command or a mail."""

from __future__ import annotations
