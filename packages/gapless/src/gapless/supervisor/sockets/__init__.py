"""Listening sockets, which of them takes new connections, and calls to bind and listen."""

from __future__ import annotations
