"""Terminals and a browser of tests, and the pictures of the pages about them."""

from __future__ import annotations
