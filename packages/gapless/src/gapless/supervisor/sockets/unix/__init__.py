"""Unix-domain sockets in the file system: their names, and as whom they are made."""

from __future__ import annotations
