"""What runs, of which version, and how it becomes the one that is installed."""

from __future__ import annotations
