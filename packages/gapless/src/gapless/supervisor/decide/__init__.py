"""Every decision about an app: pure functions over values, and the actions they return."""

from __future__ import annotations
