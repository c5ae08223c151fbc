"""Which paths the lines of a .gaplessignore leave out."""

from __future__ import annotations

import pytest

from gapless.push.ignore_rules import DEFAULT, IgnoreRules


@pytest.mark.parametrize(
    ("line", "path", "is_folder", "left_out"),
    [
        ("*.log", "a.log", False, True),
        ("*.log", "deep/er/a.log", False, True),
        ("*.log", "a.log.txt", False, False),
        ("/a.log", "deep/a.log", False, False),
        ("/a.log", "a.log", False, True),
        ("docs/*.md", "docs/a.md", False, True),
        ("docs/*.md", "docs/deep/a.md", False, False),
        ("docs/**/*.md", "docs/deep/er/a.md", False, True),
        ("docs/**/*.md", "docs/a.md", False, True),
        ("**/tmp", "a/b/tmp", True, True),
        ("tmp/**", "tmp/a/b", False, True),
        ("tmp/", "tmp", True, True),
        ("tmp/", "tmp", False, False),
        ("a?c", "abc", False, True),
        ("a?c", "a/c", False, False),
        ("[ab].txt", "b.txt", False, True),
        ("[!ab].txt", "b.txt", False, False),
        ("\\#a", "#a", False, True),
        ("# a remark", "# a remark", False, False),
        ("  ", "  ", False, False),
        ("a.b", "axb", False, False),
    ],
)
def test_a_line_means_what_it_means_in_a_gitignore(
    line: str, path: str, *, is_folder: bool, left_out: bool
) -> None:
    """Each row is one line of the file."""
    assert IgnoreRules([line]).leaves_out(path, is_folder=is_folder) is left_out


def test_the_last_line_that_fits_counts() -> None:
    """So `!` includes again, also what is left out by default."""
    rules = IgnoreRules([*DEFAULT, "*.log", "!keep.log", "!node_modules"])
    assert rules.leaves_out("a.log", is_folder=False)
    assert not rules.leaves_out("keep.log", is_folder=False)
    assert not rules.leaves_out("node_modules", is_folder=True)
    assert rules.leaves_out("lib/.git", is_folder=True)
