"""The pictures of the pages are as they are drawn, and are shown."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from rig.hosts.host import ROOT
from rig.pictures import all as pictures


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_a_picture_is_as_it_is_drawn(name: str) -> None:
    """`python -m rig.pictures.all` writes them anew; each is XML with a title."""
    drawn = pictures.PICTURES[name]().svg()
    assert (pictures.DIRECTORY / name).read_text() == drawn
    title = ET.fromstring(drawn).find("{http://www.w3.org/2000/svg}title")
    assert title is not None
    assert title.text


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_a_picture_is_on_a_page(name: str) -> None:
    """It has words for who does not see it."""
    pages = "".join(each.read_text() for each in ROOT.glob("docs/**/*.md"))
    assert re.search(rf"!\[\w[^]]+\]\((?:\.\./)?images/{re.escape(name)}\)", pages)
