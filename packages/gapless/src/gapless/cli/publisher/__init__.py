"""The parts of `gapless watch`: uploads, rollouts, their threads, and what is printed."""

from __future__ import annotations
