r"""The syntax of files with variables: .env files and EnvironmentFile of systemd.  Pure.

One NAME=VALUE a line, `export` in front allowed.  A value may be quoted: between 'single'
quotes and `backticks` everything is itself, between "double" quotes a backslash begins
\n, \r, \t, \\, \" and \$; all three may go over several lines.  Without quotes, blanks
at the end are dropped, a blank and # begin a comment, and a backslash at the end of a line
joins it with the next one.  A line that begins with # or ; is a comment.  Nothing is
expanded: $HOME is five characters.
"""

from __future__ import annotations

import re

_NAME = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*")
_SKIPPED = re.compile(r"[ \t]*(?:[#;][^\n]*)?(?:\n|\Z)")
_AFTER_QUOTE = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_BARE = re.compile(r"((?:\\\n|[^\n])*)(?:\n|\Z)")
_COMMENT = re.compile(r"(?:\A|(?<=[ \t]))#.*")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "$": "$", "\n": ""}
_QUOTED = {
    "'": re.compile(r"'([^']*)'"),
    "`": re.compile(r"`([^`]*)`"),
    '"': re.compile(r'"((?:\\.|[^"\\])*)"', re.DOTALL),
}


class WrongLineError(ValueError):
    """A line is not NAME=VALUE.  The message has its number, and none of its text."""


def parse(text: str) -> dict[str, str]:
    """Return the variables of a file; the last one of a name counts.

    Raises WrongLineError: what is wrong is not quoted, since it may be a secret.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        if skipped := _SKIPPED.match(text, at):
            if skipped.end() == at:
                break
            at = skipped.end()
            continue
        begun = _NAME.match(text, at)
        if begun is None:
            raise _wrong(text, at, "is not NAME=VALUE")
        found[begun[1]], at = _value(text, begun.end())
    return found


def _value(text: str, at: int) -> tuple[str, int]:
    """Return the value that begins somewhere, and where the next line begins."""
    quote = text[at : at + 1]
    if quote in _QUOTED:
        quoted = _QUOTED[quote].match(text, at)
        if quoted is None:
            raise _wrong(text, at, f"has a {quote} that is not closed")
        after = _AFTER_QUOTE.match(text, quoted.end())
        if after is None:
            raise _wrong(text, quoted.end(), f"goes on after the closing {quote}")
        value = _unescaped(quoted[1]) if quote == '"' else quoted[1]
    else:
        after = _BARE.match(text, at)
        assert after is not None
        value = after[1].replace("\\\n", "")
        value = _COMMENT.sub("", value).strip(" \t")
    if "\0" in value:
        raise _wrong(text, at, "has a NUL in it")
    return value, after.end()


def _unescaped(text: str) -> str:
    def replaced(matched: re.Match[str]) -> str:
        return _ESCAPES.get(matched[1], matched[0])

    return re.sub(r"\\(.)", replaced, text, flags=re.DOTALL)


def _wrong(text: str, at: int, problem: str) -> WrongLineError:
    line = text.count("\n", 0, at) + 1
    return WrongLineError(f"line {line} {problem}")
