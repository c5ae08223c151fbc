"""Programs that are told what happened: receivers of webhooks that behave or do not."""

from __future__ import annotations
