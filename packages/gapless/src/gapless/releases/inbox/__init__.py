"""Uploads in the inbox: which are complete, which is claimed, which were refused."""

from __future__ import annotations
