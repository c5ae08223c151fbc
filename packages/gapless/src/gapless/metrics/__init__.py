"""Metrics of this host for Prometheus: a face that asks the supervisor, and is an app."""

from __future__ import annotations
