"""Verbs that show what runs, and what it prints."""

from __future__ import annotations
