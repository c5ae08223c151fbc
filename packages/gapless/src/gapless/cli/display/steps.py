"""The steps of an operation, a publish or a rollout, each on one line."""

from __future__ import annotations

from typing import Any

from gapless.cli import output

_TEXTS = {
    "claimed": "upload claimed",
    "built": "build done",
    "sealed": "release sealed",
    "placed": "release placed",
    "flipped": "link flipped",
    "rollout": "rollout begun",
    "permit": "permit needed",
    "probed": "probe passed",
    "switched": "switched, takes all new connections",
    "unseen": "warning",
    "unordered": "warning",
    "unlimited": "warning",
}
"""Steps whose word alone does not say what happened; the word is what JSON has."""
_RED = ("failed", "reverted", "crashed", "trying on")


def line(app: str, step: str, detail: str, generation: int | None = None) -> str:
    """Return what is printed of a step."""
    number = f" generation {generation}" if generation is not None else ""
    return f"{app}{number} {_TEXTS.get(step, step)}" + (f": {detail}" if detail else "")


def print_step(event: dict[str, Any]) -> None:
    """Print a step of an operation, with the seconds since it began."""
    step = event["step"]
    text = line(event["app"], step, event["detail"], event.get("generation"))
    text = f"{text} ({event['at_s']:.2f} s)"
    output.print_line(output.paint(text, "red") if step in _RED else text)
