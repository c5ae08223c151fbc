"""Verbs about releases of this host's apps."""

from __future__ import annotations
