"""Why gapless hands an app over by itself: the clock, changed files, memory."""

from __future__ import annotations
