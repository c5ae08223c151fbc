"""What a host has trusted, and a publisher signed: kept on its own disk."""

from __future__ import annotations
