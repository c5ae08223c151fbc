"""What lies on disk in the place of a record, and is none."""

from __future__ import annotations
