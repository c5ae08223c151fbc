"""Release new versions of apps on a team's own servers without losing a request."""

from __future__ import annotations

from gapless.base import interpreter

# Each is imported somewhere for what is seldom done, and none is light: two megabytes in
# the supervisor.  `dataclasses` imports the first two, for classes without a docstring and
# for `asdict`; the others are ours.
for _name in ("inspect", "copy", "ipaddress", "random", "zlib"):
    interpreter.import_later(_name)

__version__ = "0.1.0"
