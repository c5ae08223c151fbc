"""A gapless.toml: its keys, and what each table asks for."""

from __future__ import annotations
