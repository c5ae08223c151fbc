"""Boxes, arrows and words as SVG; the reader's browser chooses light or dark."""

from __future__ import annotations

from html import escape

STYLE = """
  text { font: 14px system-ui, sans-serif; fill: #1f2328; }
  .small { font-size: 12px; fill: #57606a; }
  .title { font-weight: 600; }
  .box { fill: #f6f8fa; stroke: #8c959f; rx: 6px; }
  .ours { fill: #ddf4ff; stroke: #0969da; }
  .new { fill: #dafbe1; stroke: #1a7f37; }
  .old { fill: #fff8c5; stroke: #9a6700; }
  .group { fill: none; stroke: #8c959f; stroke-dasharray: 5 4; rx: 8px; }
  .arrow { fill: none; stroke: #57606a; stroke-width: 1.6; marker-end: url(#tip); }
  .dotted { stroke-dasharray: 3 4; }
  #tip path { fill: #57606a; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .small { fill: #9198a1; }
    .box { fill: #212830; stroke: #656c76; }
    .ours { fill: #0c2d6b; stroke: #4493f8; }
    .new { fill: #04260f; stroke: #3fb950; }
    .old { fill: #341a00; stroke: #d29922; }
    .group { stroke: #656c76; }
    .arrow { stroke: #9198a1; }
    #tip path { fill: #9198a1; }
  }
"""
Place = tuple[int, int, int, int]
"""The left and upper edge, the width and the height."""
LINE = 18
"""The distance of two lines of text."""


class Drawing:
    """One picture; all measures are pixels."""

    def __init__(self, width: int, height: int, title: str) -> None:
        """Begin a picture; *title* is what a screen reader says of it."""
        self._size, self._title = (width, height), title
        self._parts: list[str] = []

    def box(self, place: Place, text: str, kind: str) -> None:
        """Draw a box with lines of text in its middle; the first one is its title."""
        x, y, width, height = place
        self._parts.append(_rect(place, f"box {kind}".strip()))
        lines = text.splitlines()
        top = y + height / 2 - (len(lines) - 1) * LINE / 2 + 5
        for i, line in enumerate(lines):
            kind = "title" if i == 0 else "small"
            self._text(x + width / 2, top + i * LINE, line, kind, "middle")

    def group(self, place: Place, text: str) -> None:
        """Draw a dashed frame with a name."""
        self._parts.append(_rect(place, "group"))
        self._text(place[0] + 12, place[1] + 20, text, "small", "start")

    def arrow(self, *points: tuple[int, int], dotted: bool = False) -> None:
        """Draw an arrow along points."""
        (x, y), *rest = points
        path = f"M{x} {y}" + "".join(f" L{a} {b}" for a, b in rest)
        kind = "arrow dotted" if dotted else "arrow"
        self._parts.append(f'<path class="{kind}" d="{path}"/>')

    def note(self, x: int, y: int, text: str, anchor: str = "start") -> None:
        """Write small lines of text."""
        for i, line in enumerate(text.splitlines()):
            self._text(x, y + i * LINE, line, "small", anchor)

    def head(self, x: int, y: int, text: str) -> None:
        """Write a title."""
        self._text(x, y, text, "title", "start")

    def svg(self) -> str:
        """Return the picture as a file."""
        width, height = self._size
        tip = (
            '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
            'markerHeight="8" orient="auto"><path d="M0 0 L8 4 L0 8 Z"/></marker>'
        )
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" role="img" '
                f'viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
                f"<title>{escape(self._title)}</title>",
                f"<style>{STYLE}</style>",
                f"<defs>{tip}</defs>",
                *self._parts,
                "</svg>\n",
            ]
        )

    def _text(self, x: float, y: float, text: str, kind: str, anchor: str) -> None:
        self._parts.append(
            f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">'
            f"{escape(text)}</text>"
        )


def _rect(place: Place, kind: str) -> str:
    x, y, width, height = place
    size = f'width="{width}" height="{height}"'
    return f'<rect class="{kind}" x="{x}" y="{y}" {size} rx="6"/>'
