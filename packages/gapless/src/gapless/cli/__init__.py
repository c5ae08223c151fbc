"""The command line: verbs, and what several of them share."""

from __future__ import annotations
