"""Uploads: packed and sent on one machine, their outcome told by another."""

from __future__ import annotations
