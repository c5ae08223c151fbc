"""What a publisher notes while it works: its intent, its lock, its progress."""

from __future__ import annotations
