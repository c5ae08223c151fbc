"""Carry out what the plan decided: start, probe, relay, signal, pid files."""

from __future__ import annotations
