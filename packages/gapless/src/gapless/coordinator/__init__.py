"""Coordinators, where hosts agree: read, compare-and-set, watch, and no more."""

from __future__ import annotations
