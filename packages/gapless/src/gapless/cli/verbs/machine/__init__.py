"""Verbs about this machine and its supervisor."""

from __future__ import annotations
