"""Decides what runs; standard library only, one loop."""

from __future__ import annotations
