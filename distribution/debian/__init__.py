"""The Debian package, and what it runs when it is installed and removed."""

from __future__ import annotations
