"""Release new versions of apps on a team's own servers without losing a request."""

from __future__ import annotations

from gapless.base import interpreter

# `dataclasses` imports it, and uses it for classes without a docstring only: a megabyte in
# each of our processes.
interpreter.import_later("inspect")

__version__ = "0.1.0"
