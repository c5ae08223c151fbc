"""What `gapless watch` says about a fault of gapless itself, and how it goes on."""

from __future__ import annotations

import os
import traceback

from gapless.base.errors import InternalError
from gapless.base.outside.text import printable

PAUSE_S, MOST_PAUSE_S = 5.0, 60.0
"""After a fault an app is checked again: after so long, then ever later."""
_MOST_CHARACTERS = 300


def describe(error: BaseException) -> str:
    """Return what failed, where in gapless, and what to do, in one line."""
    return (
        f"{_what(error)}; this app is tried again later, and the others go on: report it, "
        "with the lines below"
    )


def error_of(app: str, error: BaseException) -> InternalError:
    """Return the error by which one upload is given up."""
    return InternalError(
        f"{app}: {_what(error)}", hint="report it, if you can with the upload"
    )


def _what(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    at = (
        f" at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}"
        if frames
        else ""
    )
    text = printable(str(error))[:_MOST_CHARACTERS]
    return f"gapless has a fault of its own: {type(error).__name__}{at}: {text}"
