"""The middleware for ASGI and WSGI, and the streams that a drain ends."""

from __future__ import annotations
