"""The pictures of the pages: boxes and arrows, drawn as SVG for light and dark."""
