"""Load balancers: configuration that sends a refused request to another server; a check."""

from __future__ import annotations
