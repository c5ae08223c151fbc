"""The turn of one host at a rollout: fetch the release, change, watch, report."""

from __future__ import annotations
