"""The answer for balancers: what it says, who may ask, and one loop that gives it."""

from __future__ import annotations
