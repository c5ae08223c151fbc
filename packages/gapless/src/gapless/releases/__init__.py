"""From a tarball to an immutable release, and which one is current."""

from __future__ import annotations
