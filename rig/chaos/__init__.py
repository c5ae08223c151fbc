"""Chaos: four apps under strict load, while everything of gapless is struck by turns.

`schedule` draws what happens, as plain values; the rest carries it out and looks.
"""

from __future__ import annotations
