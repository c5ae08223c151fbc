"""Release new versions of apps on a team's own servers without losing a request."""

from __future__ import annotations

__version__ = "0.1.0"
