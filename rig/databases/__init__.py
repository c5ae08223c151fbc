"""Real PostgreSQL, MariaDB and Redis for tests, and their stored procedures."""

from __future__ import annotations
