"""Declarations written for PM2: which fields there are, and what gapless makes of them."""

from __future__ import annotations
