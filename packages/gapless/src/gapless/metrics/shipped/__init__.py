"""Alert rules for Prometheus and a dashboard for Grafana, as files."""

from __future__ import annotations
