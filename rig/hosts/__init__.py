"""One host of a test, and what it stands on: processes, network, disk, shared directory."""

from __future__ import annotations
