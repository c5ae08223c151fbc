"""Where a rehearsal takes place, and what keeps it apart from what really runs."""

from __future__ import annotations
