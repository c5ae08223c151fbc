"""Which stored procedures a text of SQL calls.  Pure; the caller keeps what it found."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from gapless_drain.databases.tokens import Dialect, Token, tokens

ROUTINES = {"PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE"}
DEFINES = {"DROP", "ALTER", "GRANT", "REVOKE", "COMMENT", "DEALLOCATE", "SHOW", "HELP"}
"""What names routines and runs none."""
CONTROL = {
    *("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE"),
    *("SET", "RESET", "DISCARD", "DEALLOCATE", "CLOSE", "UNLISTEN", "USE"),
}
"""What only ends or sets up other statements, and so is never refused."""
_WORDS = ("call", "execute", "prepare", "atomic")
_DO = re.compile(r"do(?:\W|\Z)")


@dataclass(frozen=True)
class Found:
    """What a text does, as far as procedures are concerned."""

    calls: tuple[str, ...] = ()
    """The procedures that it calls, in their order."""
    executes: tuple[str, ...] = ()
    """The prepared statements that it executes."""
    prepares: tuple[tuple[str, tuple[str, ...] | None], ...] = ()
    """The statements that it prepares, and what each calls; None: nobody can tell."""
    verbs: tuple[str, ...] = ()
    """The first word of each statement that calls none."""
    count: int = 0
    """How many statements there are."""
    is_call: bool = False
    """More may come after the first result."""


NOTHING = Found()


class Statements:
    """Looks at texts of one dialect, for procedures and functions of these names."""

    def __init__(self, dialect: Dialect, functions: Collection[str] = ()) -> None:
        self.dialect = dialect
        self._functions = {name.lower(): name for name in functions}
        last = {name.rpartition(".")[2] for name in self._functions}
        self._words = (*_WORDS, *last)

    def look(self, text: str) -> Found:
        """Return what a text does; quickly if it does nothing of the kind."""
        lower = text.lower()
        for word in self._words:
            if word in lower:
                return self.read(text)
        if self.dialect == "postgresql" and _DO.search(lower):
            return self.read(text)
        return NOTHING

    def read(self, text: str) -> Found:
        """Return what a text does, with its verbs."""
        calls: list[str] = []
        executes: list[str] = []
        prepares: list[tuple[str, tuple[str, ...] | None]] = []
        verbs: list[str] = []
        is_call, count = False, 0
        for statement in split(tokens(text, self.dialect)):
            found = self._one(statement)
            calls += found.calls
            executes += found.executes
            prepares += found.prepares
            if not found.calls and not found.executes:
                verbs.append(statement[0].upper)
            is_call, count = is_call or found.is_call, count + 1
        return Found(
            calls=tuple(calls),
            executes=tuple(executes),
            prepares=tuple(prepares),
            verbs=tuple(verbs),
            count=count,
            is_call=is_call,
        )

    def _one(self, statement: Sequence[Token]) -> Found:
        verb, rest = statement[0].upper, statement[1:]
        match verb:
            case "CALL":
                inside = self._functions_in(_after_sign(rest, "("))
                return Found(calls=(self._name(rest) or verb, *inside), is_call=True)
            case "DO" if self.dialect == "postgresql":
                return Found(calls=("DO",))
            case "BEGIN" if _is_block(statement):
                return Found(calls=("BEGIN NOT ATOMIC",), is_call=True)
            case "EXECUTE":
                return self._execute(rest)
            case "PREPARE":
                return self._prepare(rest)
            case "SET" if rest and rest[0].upper == "STATEMENT":
                after = _after(rest, "FOR")
                return self._one(after) if after else NOTHING
            case "CREATE" if not _makes_rows(rest):
                return NOTHING
            case "EXPLAIN" | "CREATE":
                after = _after(rest, "EXECUTE")
                if after:
                    return self._execute(after)
            case _ if verb in DEFINES:
                return NOTHING
            case _:
                pass
        return Found(calls=self._functions_in(statement))

    def _execute(self, rest: Sequence[Token]) -> Found:
        if rest and rest[0].upper == "IMMEDIATE" and self.dialect == "mysql":
            if _is_whole(rest[1:]):
                return self.read(rest[1].text)
            return Found(calls=("EXECUTE IMMEDIATE",), is_call=True)
        return Found(executes=(self._name(rest),), is_call=self.dialect == "mysql")

    def _prepare(self, rest: Sequence[Token]) -> Found:
        name = self._name(rest)
        if self.dialect == "postgresql":
            after = _after(rest, "AS")
            return Found(prepares=((name, self._one(after).calls if after else ()),))
        after = _after(rest, "FROM")
        calls = self.read(after[0].text).calls if _is_whole(after) else None
        return Found(prepares=((name, calls),))

    def _functions_in(self, statement: Sequence[Token]) -> tuple[str, ...]:
        """Return the functions of the configuration that a statement calls, each once."""
        found: dict[str, None] = {}
        for at, token in enumerate(statement if self._functions else ()):
            if not token.is_sign("(") or not at:
                continue
            first = at - 1
            while first >= 2 and statement[first - 1].is_sign("."):
                first -= 2
            full = self._name(statement[first:at]).lower()
            name = self._functions.get(full) or self._functions.get(
                full.rpartition(".")[2]
            )
            is_table = first > 0 and statement[first - 1].upper == "INTO"
            if name and not is_table and not _is_defined(statement, at):
                found[name] = None
        return tuple(found)

    def _name(self, rest: Sequence[Token]) -> str:
        """Return the name at the beginning, as the database has it: schema.name."""
        parts: list[str] = []
        for at, token in enumerate(rest):
            if at % 2:
                if not token.is_sign("."):
                    break
            elif token.kind == "word" and self.dialect == "postgresql":
                parts.append(token.text.lower())
            elif token.kind in ("sign", "string"):
                break
            else:
                parts.append(token.text)
        return ".".join(parts)


def split(pieces: Iterator[Token]) -> Iterator[list[Token]]:
    """Return statements; the body of a routine belongs to the one that creates it."""
    statement: list[Token] = []
    depth, has_body, ended = 0, False, False
    for token in pieces:
        if token.is_sign(";") and depth <= 0:
            if statement:
                yield statement
            statement, depth, has_body, ended = [], 0, False, False
            continue
        statement.append(token)
        upper = token.upper
        if not has_body and _is_block(statement):
            has_body, depth = True, 1
        has_body = has_body or _creates_routine(statement, upper)
        if has_body and upper:
            if ended:  # the word after END
                ended = False
                depth += upper in ("IF", "LOOP", "WHILE", "REPEAT", "FOR")
            elif upper in ("BEGIN", "CASE"):
                depth += 1
            elif upper == "END":
                depth, ended = depth - 1, True
        else:
            ended = False
    if statement:
        yield statement


def _is_block(statement: Sequence[Token]) -> bool:
    """Tell whether a statement is one of MariaDB that holds others."""
    first = [token.upper for token in statement[:3]]
    return first == ["BEGIN", "NOT", "ATOMIC"]


def _creates_routine(statement: Sequence[Token], upper: str) -> bool:
    """Tell whether what follows may be a body, between BEGIN and END."""
    return statement[0].upper == "CREATE" and upper in ROUTINES


def _makes_rows(rest: Sequence[Token]) -> bool:
    """Tell whether a CREATE runs a query: CREATE TABLE ... AS."""
    for token in rest:
        if token.upper in ("TABLE", "MATERIALIZED"):
            return True
        if token.upper in ROUTINES or token.kind != "word":
            return False
    return False


def _is_defined(statement: Sequence[Token], at: int) -> bool:
    """Tell whether the bracket at a place belongs to a WITH name (columns) AS (...)."""
    depth = 0
    for place in range(at, len(statement) - 2):
        depth += statement[place].is_sign("(") - statement[place].is_sign(")")
        if depth == 0:
            following = statement[place + 2]
            return statement[place + 1].upper == "AS" and (
                following.is_sign("(") or following.upper in ("NOT", "MATERIALIZED")
            )
    return False


def _is_whole(text: Sequence[Token]) -> bool:
    """Tell whether a text to be executed is there, and not put together of parts."""
    if not text or text[0].kind not in ("string", "either"):
        return False
    return len(text) == 1 or text[1].upper == "USING"


def _after_sign(rest: Sequence[Token], sign: str) -> Sequence[Token]:
    """Return what follows a sign."""
    for at, token in enumerate(rest):
        if token.is_sign(sign):
            return rest[at + 1 :]
    return ()


def _after(rest: Sequence[Token], keyword: str) -> Sequence[Token]:
    """Return what follows a keyword."""
    for at, token in enumerate(rest):
        if token.upper == keyword:
            return rest[at + 1 :]
    return ()
