"""A model: the supervisor's own code between a keeper and programs that are values."""

from __future__ import annotations
