"""The units of systemd that `gapless startup` writes."""

from __future__ import annotations
