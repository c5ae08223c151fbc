"""Where the page listens, and the names of this host."""

from __future__ import annotations

import pytest

from gapless.web import access, address


@pytest.mark.parametrize(
    ("listen", "said", "names"),
    [
        ("*:9470", [], ["web-1"]),
        ("page.example:9470", [], ["page.example"]),
        ("9470", [], ["127.0.0.1"]),
        ("[::1]:9470", [], ["::1"]),
        ("*:9470", ["a.example", "b.example"], ["a.example", "b.example"]),
    ],
)
def test_the_name_in_the_link_is_one_that_the_page_has(
    listen: str, said: list[str], names: list[str]
) -> None:
    """A browser that opens the link is not refused."""
    found = address.names(listen, said, "web-1")
    assert found == names
    header = f"[{found[0]}]" if ":" in found[0] else found[0]
    assert access.is_own_host(f"{header}:9470", found)
    assert not access.is_own_host("evil.example:9470", found)
