"""Hosts of a test, the network between them, and what may befall them."""

from __future__ import annotations
