"""Which stored procedures a text of SQL calls."""

from __future__ import annotations
