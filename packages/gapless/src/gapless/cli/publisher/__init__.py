"""The parts of `gapless watch`: uploads, rollouts, and what is printed."""

from __future__ import annotations
