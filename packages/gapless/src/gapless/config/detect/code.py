"""Whether code that declares apps for PM2 has values that depend on its run.  Pure.

Rule 1: words in texts and in comments do not count, as long as it is certain which they
are.  A regular expression, a template with code in it, a text or a comment without an end
may hide what follows: then every word of the file counts.
Rule 2: in doubt values are called computed.  That costs a hint; the other way a secret of
the shell would be written into a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gapless.config import file_kinds
from gapless.config.detect.facts import HEAD_BYTES, Facts

_NO_CODE = re.compile(
    r"""(?P<text>"(?:[^"\\\n]|\\.)*+(?:"|(?P<double>))"""
    r"""|'(?:[^'\\\n]|\\.)*+(?:'|(?P<single>)))"""
    r"""|(?P<template>`(?:[^`\\$]|\\.|\$(?!\{)|\$\{[\w$. ]*\})*+(?:`|(?P<back>)))"""
    r"""|/\*.*?(?:\*/|(?P<star>\Z))|//[^\n\r\u2028\u2029]*""",
    re.DOTALL,
)
"""A text, a template or a comment: each may have in it what begins another.

Code in a template is names with dots, which cannot have the end of the template in it.
"""
_OPEN = ("double", "single", "back", "star")
"""What each begins with that has no end."""
_UNSURE = re.compile(r"[/\\]|<!--|-->")
"""What in code may begin something else: a regular expression, a comment of HTML."""
_OF_ITS_RUN = re.compile(
    r"\bprocess\b(?:\.\w+(?:\.\w+)?)?|\bglobal(?:This)?\b|\bthis\b|\barguments\b|"
    r"\bconstructor\b|\bmodule\b(?!\s*\.\s*exports\b)|\bimport\.meta\b(?:\.\w+)?|"
    r"\bnew Date\b|\bDate\b(?:\.now\b)?|\bMath\.random\b|\bMath\s*\[|"
    r"\bcrypto\b|\bperformance\b|\bawait\b|\bimport\s*\.|\\u"
)
"""What has another value in each run, or leads to it: the environment, the time, chance."""
_LOADED = re.compile(
    r"\b(?:require|fetch|eval|Function)\b(?:\s*\([^)\n]{0,60}\)?)?|"
    r"\bimport\s*\([^)\n]{0,60}\)?|\bimport\b(?!\s*\.)[^\n;]{0,80}|"
    r"""\bfrom\s*["'][^\n;]{0,80}"""
)
"""What comes from elsewhere: a text names it."""
_PATH = r"""["'](?:node:)?path["']"""
_KNOWN = re.compile(
    rf"require\s*\(\s*{_PATH}\s*\)|import\s[\w$*{{}},\s]+\sfrom\s*{_PATH}|from\s*{_PATH}|"
    r"import\.meta\.(?:dirname|filename|url)"
)
"""What says where the file is, which a path in TOML says too."""


def computed(facts: Facts, file: str) -> str:
    """Return what in a file for PM2 has values that depend on its run; empty: nothing.

    Of JSON and YAML nothing has.
    """
    if not file.endswith(file_kinds.JAVASCRIPT):
        return ""
    head = facts.head(file)
    if len(head.encode(errors="replace")) >= HEAD_BYTES:
        return f"more than {HEAD_BYTES >> 10} KiB of code"
    code = bare = head
    if _is_certain(head):
        code = _NO_CODE.sub(_without_comment, head)
        bare = _NO_CODE.sub(_without_text, code)
    found = (*_OF_ITS_RUN.finditer(bare), *_LOADED.finditer(code))
    words = [each[0].strip() for each in sorted(found, key=re.Match.start)]
    return next((each for each in words if not _KNOWN.fullmatch(each)), "")


def _is_certain(code: str) -> bool:
    """Return whether it is certain what in code is a text, and what a comment."""
    for each in _NO_CODE.finditer(code):
        if any(each[name] is not None for name in _OPEN):
            return False
    return not any(map(_UNSURE.search, _between(code)))


def _between(code: str) -> Iterator[str]:
    """Yield what stands between texts, templates and comments."""
    place = 0
    for each in _NO_CODE.finditer(code):
        yield code[place : each.start()]
        place = each.end()
    yield code[place:]


def _without_comment(found: re.Match[str]) -> str:
    return found["text"] or found["template"] or " "


def _without_text(found: re.Match[str]) -> str:
    """Return spaces in the place of a text; a template may have code in it."""
    return found["template"] or " " * len(found[0])
