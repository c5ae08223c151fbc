"""The steps of an operation, a publish or a rollout, each as one sentence on one line."""

from __future__ import annotations

from typing import Any

from gapless.cli import output

_RED = ("failed", "reverted", "crashed", "trying on", "flip failed")
_NOT_SHOWN = ("sealed",)
"""Steps that tell people nothing; programs have them from --json."""
_OF_NEW = {
    "starting": "starts: {}",
    "ready": "listens on {}",
    "probed": "is ready: {}",
    "switched": "takes all new connections, and is {}",
    "proven": "is proven",
    "permit": "is ready, and asks: {}",
    "trying on": "is tried on: {}",
    "superseded": "is superseded: {}",
    "background": "runs in the background: {}",
}
"""What the new generation does; {} stands for the detail of the step."""
_OF_NAMED = {
    "draining": "drains",
    "stopping": "stops",
    "closed": "has ended",
    "restored": "serves again",
}
"""What the one does that the detail names before its first colon."""
_SENTENCES = {
    "claimed": "took {}",
    "signed": "signed {}",
    "building": "builds: {}",
    "built": "built with {}",
    "placed": "the new release is in {}",
    "flipped": "link {}",
    "rollout": "rollout {}",
    "reverted": "went back: {}",
    "unseen": "warning: {}",
    "unordered": "warning: {}",
    "unlimited": "warning: {}",
    "renewing": "begins a handoff: {}",
}
"""What is said of the app, or of its upload."""


def line(app: str, step: str, detail: str, generation: int | None = None) -> str:
    """Return the sentence for a step; empty for one that is not shown."""
    if step in _NOT_SHOWN:
        return ""
    return f"{app}: {_sentence(step, detail, generation)}"


def _sentence(step: str, detail: str, generation: int | None) -> str:
    if step == "built" and detail == "0 commands":
        return "no build commands"
    if step in _SENTENCES:
        return _SENTENCES[step].format(detail)
    number = f"generation {generation}" if generation is not None else ""
    if step in _OF_NAMED and detail:
        who, _, why = detail.partition(": ")
        return f"{who} {_OF_NAMED[step]}" + (f": {why}" if why else "")
    if step == "trying on" and detail.startswith("generation "):
        return f"{detail} is tried on"
    if number and step == "ready" and (not detail or detail.startswith("instance ")):
        return f"{detail} of {number} is ready" if detail else f"{number} is ready"
    if number and step in _OF_NEW:
        return f"{number} {_OF_NEW[step].format(detail)}"
    return " ".join(filter(None, [number, step])) + (f": {detail}" if detail else "")


def timed(event: dict[str, Any]) -> str:
    """Return the sentence for a step, with the seconds since the command began."""
    text = line(event["app"], event["step"], event["detail"], event.get("generation"))
    return f"{text} ({event['at_s']:.2f} s)" if text else ""


def print_step(event: dict[str, Any]) -> None:
    """Print a step of an operation, with the seconds since the command began."""
    if text := timed(event):
        is_red = event["step"] in _RED
        output.print_line(output.paint(text, "red") if is_red else text)
