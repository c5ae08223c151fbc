"""Verbs about apps that run on several hosts."""

from __future__ import annotations
