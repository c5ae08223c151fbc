"""Draw the states of a rollout, from the table that decides them, into docs/rollout.md.

`python -m rig.diagram` writes the page; a test fails if the page is out of date.
"""

from __future__ import annotations

from pathlib import Path

from gapless.rollout.model import TRANSITIONS, State
from rig.hosts.host import ROOT

PAGE = ROOT / "docs" / "rollout.md"
BEGIN, END = "```mermaid\n", "```\n<!-- end -->"
LAST = (State.DONE, State.REVERTED)


def drawn() -> str:
    """Return the diagram in the language of Mermaid."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.ROLLING.value}"]
    lines += [
        f"    {before.value} --> {after.value}: {cue.value}"
        for (before, cue), after in TRANSITIONS.items()
    ]
    lines += [f"    {state.value} --> [*]" for state in LAST]
    return "\n".join(lines) + "\n"


def inserted(page: str) -> str:
    """Return a page with the diagram in its place."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}{drawn()}{END}{tail}"


def write(path: Path = PAGE) -> None:
    """Write the diagram into the page."""
    path.write_text(inserted(path.read_text()))


if __name__ == "__main__":
    write()
