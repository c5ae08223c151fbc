"""A publisher is killed right after each side effect; then the same command comes again."""

from __future__ import annotations
