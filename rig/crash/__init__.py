"""Crash points by machine: our process is killed right after its Nth side effect."""

from __future__ import annotations
