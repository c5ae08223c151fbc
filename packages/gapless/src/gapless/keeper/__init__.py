"""The parent of the instances: spawns, holds and reaps; decides nothing."""

from __future__ import annotations
