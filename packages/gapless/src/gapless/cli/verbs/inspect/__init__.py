"""Verbs that show what runs, its logs, and its environment."""

from __future__ import annotations
