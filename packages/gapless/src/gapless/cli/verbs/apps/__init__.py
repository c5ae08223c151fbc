"""Verbs that start, change and end apps."""

from __future__ import annotations
