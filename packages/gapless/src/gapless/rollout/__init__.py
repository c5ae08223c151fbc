"""Bring a fleet to a release: hosts pull, and nobody is in charge."""

from __future__ import annotations
