"""The strict load client: every request is numbered, none is repeated."""

from __future__ import annotations
