"""Drivers of databases as apps use them: connect, run one counted statement, close."""

from __future__ import annotations
