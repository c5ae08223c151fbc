"""What `make demo` shows."""

from __future__ import annotations
