"""Rehearse a release: hand over to it, and back, under load, where nothing runs yet."""

from __future__ import annotations
