"""A process that runs one command of a release, and outlives all that came from it."""

from __future__ import annotations
