"""Load, faults and facts for tests: everything here runs against real programs."""

from __future__ import annotations
