"""What instances say, what they count, and how they end."""

from __future__ import annotations
