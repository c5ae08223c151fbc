"""What comes from outside gapless: files that others may write, and text for a terminal."""

from __future__ import annotations
