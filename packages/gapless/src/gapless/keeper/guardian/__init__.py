"""The process above the keeper: what the keeper has is there twice."""

from __future__ import annotations
