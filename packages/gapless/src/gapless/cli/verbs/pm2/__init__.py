"""Verbs for people and tools that know PM2."""

from __future__ import annotations
