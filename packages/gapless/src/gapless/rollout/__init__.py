"""Rollouts, which bring a fleet to a release: hosts pull, and there is no leader."""

from __future__ import annotations
