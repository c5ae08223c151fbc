"""What the supervisor tells its owner, as it may stand in a terminal or a log of CI."""

from __future__ import annotations

import argparse
from typing import Any

from gapless.base.outside import secrets


def shown(args: argparse.Namespace, found: Any) -> Any:
    """Return what was found with its secrets masked, unless they are asked for."""
    return found if args.show_secrets else secrets.shown(found)
