"""What `make dist` makes: something to install, the same bytes each time."""

from __future__ import annotations
