"""What several parts use; what only one part needs is there."""

from __future__ import annotations
