"""Load balancers: configuration in which "503, try another server" is true, and a check."""

from __future__ import annotations
