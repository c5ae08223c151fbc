"""What the supervisor knows of its apps, and where it is kept."""

from __future__ import annotations
