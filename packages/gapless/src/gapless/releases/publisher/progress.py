"""Progress that cannot be told: a terminal that is gone does not end a release."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

from gapless.base.errors import GaplessError

_Words = ParamSpec("_Words")


def unbroken(tell: Callable[_Words, None]) -> Callable[_Words, None]:
    """Return *tell*, which is not called again after an OSError (EIO, EPIPE, ENOSPC).

    Errors of ours pass: they are how a caller ends what is under way.
    """
    is_broken = False

    def told(*words: _Words.args, **named: _Words.kwargs) -> None:
        nonlocal is_broken
        if is_broken:
            return
        try:
            tell(*words, **named)
        except GaplessError:
            raise
        except OSError:
            is_broken = True

    return told
