"""What the keeper holds for others: descriptors, and what is said on them meanwhile."""

from __future__ import annotations
