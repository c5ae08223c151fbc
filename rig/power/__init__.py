"""What a disk may hold after a loss of power, at each moment of what a user did."""

from __future__ import annotations
