"""Uploads: one machine packs and sends them, another one reports their outcomes."""

from __future__ import annotations
