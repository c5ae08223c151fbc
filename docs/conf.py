"""How `make docs` builds the pages of this repository into a site (Sphinx, MyST, furo).

The root of the pages is that of the repository, so that their links to each other and to
other files are the same in the site as there.
"""

from __future__ import annotations

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

project = "gapless"
html_title = "gapless"
extensions = ["myst_parser"]
master_doc = "docs/index"
include_patterns = [
    *("*.md", "docs/**", "spec/*.md"),
    *("examples/*/README.md", "node/*/README.md"),
]
exclude_patterns = ["**/node_modules", "build", "dist", ".*"]  # they are not searched
nitpicky = True
myst_heading_anchors = 4
html_theme = "furo"
html_extra_path = ["site"]
html_copy_source = False
html_show_copyright = html_show_sphinx = False
pygments_style, pygments_dark_style = "friendly", "monokai"


def setup(app: Sphinx) -> None:
    """Show diagrams that only some readers draw as their source."""
    app.add_lexer("mermaid", TextLexer)
