"""What is installed for tests as users install it, and a clean Debian to install it in."""

from __future__ import annotations
