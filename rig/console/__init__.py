"""A fleet to try things on by hand: what `make rig` runs."""

from __future__ import annotations
