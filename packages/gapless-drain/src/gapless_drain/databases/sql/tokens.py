"""A text of SQL as tokens: words, quoted names, strings, signs.  Pure.

Comments are left out, but what a comment of MariaDB executes is not.

https://www.postgresql.org/docs/15/sql-syntax-lexical.html
https://mariadb.com/kb/en/comment-syntax/ and https://mariadb.com/kb/en/string-literals/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

Dialect = Literal["postgresql", "mysql"]


class Token(NamedTuple):
    """One token."""

    kind: Literal["word", "quoted", "string", "either", "sign"]
    """`either` is MariaDB's text in double quotes: a string, or a name with ANSI_QUOTES."""
    text: str
    """Without quotes."""

    @property
    def upper(self) -> str:
        """The keyword that a word is; empty for what is quoted, and for signs."""
        return self.text.upper() if self.kind == "word" else ""

    def is_sign(self, sign: str) -> bool:
        """Return whether this is that sign."""
        return self.kind == "sign" and self.text == sign


# The loops are possessive: a string without an end takes the rest of the text, and is read
# only once.
_POSTGRESQL = re.compile(
    r"""
    (?P<skipped> \s++ | --[^\n\r]*+ )
    | (?P<comment> /\* )
    | (?P<escaped> [eE]'(?: [^'\\]++ | \\. | '' )*+'? )
    | (?P<string> (?: [uU]& | [bBxXnN] )?'(?: [^']++ | '' )*+'? )
    | (?P<quoted> (?: [uU]& )?"(?: [^"]++ | "" )*+"? )
    | (?P<dollar> \$(?: [^\W\d]\w*+ )?\$ )
    | (?P<word> [^\W\d][\w$]*+ )
    | (?P<number> \$?\d[\w.]*+ )
    | (?P<sign> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_MYSQL = re.compile(
    r"""
    (?P<skipped> \s++ | --(?=[\s\x00-\x1f]|\Z)[^\n]*+ | \#[^\n]*+
        | /\*(?!M?!)(?: [^*]++ | \*(?!/) )*+(?:\*/)?
        | /\*M?!\d*+ | \*/ )    # what is in such a comment is executed
    | (?P<escaped> [nNbBxX]?'(?: [^'\\]++ | \\. | '' )*+'?
        | "(?: [^"\\]++ | \\. | "" )*+"? )
    | (?P<quoted> `(?: [^`]++ | `` )*+`? )
    | (?P<word> [\w$]++ )
    | (?P<sign> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_NESTED = re.compile(r"/\*|\*/")
_ESCAPE = re.compile(r"\\(.)|(''|\"\")", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}


def tokens(text: str, dialect: Dialect) -> Iterator[Token]:
    """Yield the tokens of a text; a text that is not valid SQL has tokens as well."""
    pattern = _MYSQL if dialect == "mysql" else _POSTGRESQL
    at, end = 0, len(text)
    while at < end:
        match = pattern.match(text, at)
        if match is None:  # never: any character is a sign
            return
        at, piece = match.end(), match.group()
        match match.lastgroup:
            case "comment":
                at = _after_comment(text, at)
            case "dollar":
                until = text.find(piece, at)
                inside = text[at:] if until < 0 else text[at:until]
                at = end if until < 0 else until + len(piece)
                yield Token("string", inside)
            case "word":
                yield Token("word", piece)
            case "sign":
                yield Token("sign", piece)
            case "quoted":
                yield Token("quoted", _unquoted(piece))
            case "string":
                yield Token("string", _unquoted(piece))
            case "escaped":
                yield Token(
                    "either" if piece[0] == '"' else "string", _unescaped(piece)
                )
            case _:
                pass


def _after_comment(text: str, at: int) -> int:
    """Return where a comment ends, together with the comments within it."""
    depth = 1
    while depth:
        found = _NESTED.search(text, at)
        if found is None:
            return len(text)
        depth += 1 if found.group() == "/*" else -1
        at = found.end()
    return at


def _unquoted(piece: str) -> str:
    quote = piece[-1] if piece[-1] in "'\"`" else piece[0]
    inside = piece[piece.index(quote) + 1 :].removesuffix(quote)
    return inside.replace(quote * 2, quote)


def _unescaped(piece: str) -> str:
    quote = "'" if "'" in piece[:2] else '"'
    inside = piece[piece.index(quote) + 1 :].removesuffix(quote)
    return _ESCAPE.sub(_unescaped_one, inside)


def _unescaped_one(match: re.Match[str]) -> str:
    sign = match.group(1)
    return match.group(2)[0] if sign is None else _ESCAPED.get(sign, sign)
