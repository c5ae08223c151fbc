"""Which stored procedures a text of SQL calls.  Pure; the caller caches the findings."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from gapless_drain.databases.sql.statements import (
    after_keyword,
    after_sign,
    is_block,
    is_cte_name,
    is_literal,
    runs_query,
    split,
)
from gapless_drain.databases.sql.tokens import Dialect, Token, tokens

DECLARATIONS = {
    *("DROP", "ALTER", "GRANT", "REVOKE", "COMMENT", "DEALLOCATE", "SHOW", "HELP"),
}
"""Verbs of statements that name routines and run none."""
_WORDS = ("call", "execute", "prepare", "atomic")
_DO = re.compile(r"do(?:\W|\Z)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a text does with stored procedures."""

    calls: tuple[str, ...] = ()
    """The procedures that it calls, in their order."""
    executes: tuple[str, ...] = ()
    """The prepared statements that it executes."""
    prepares: tuple[tuple[str, tuple[str, ...] | None], ...] = ()
    """The statements that it prepares, and what each calls; None: it is not known."""
    verbs: tuple[str, ...] = ()
    """The first word of each statement that calls none."""
    statement_count: int = 0
    may_have_more_results: bool = False
    """Whether the database may go on after the first result."""


NO_FINDINGS = Findings()


class ProcedureFinder:
    """Finds the stored procedures in texts of one dialect, and the named functions."""

    def __init__(self, dialect: Dialect, functions: Collection[str] = ()) -> None:
        """*functions* count as procedures: `pay` in any schema, `books.pay` in one."""
        self._dialect = dialect
        self._functions = {name.lower(): name for name in functions}
        last = {name.rpartition(".")[2] for name in self._functions}
        self._words = (*_WORDS, *last)

    def find(self, text: str) -> Findings:
        """Return what a text does; quick if it calls nothing, and then without verbs."""
        lower = text.lower()
        for word in self._words:
            if word in lower:
                return self.read(text)
        if self._dialect == "postgresql" and _DO.search(lower):
            return self.read(text)
        return NO_FINDINGS

    def read(self, text: str) -> Findings:
        """Return what a text does, with its verbs."""
        calls: list[str] = []
        executes: list[str] = []
        prepares: list[tuple[str, tuple[str, ...] | None]] = []
        verbs: list[str] = []
        may_have_more_results, count = False, 0
        for statement in split(tokens(text, self._dialect)):
            found = self._read_statement(statement)
            calls += found.calls
            executes += found.executes
            prepares += found.prepares
            if not found.calls and not found.executes:
                verbs.append(statement[0].upper)
            may_have_more_results |= found.may_have_more_results
            count += 1
        return Findings(
            calls=tuple(calls),
            executes=tuple(executes),
            prepares=tuple(prepares),
            verbs=tuple(verbs),
            statement_count=count,
            may_have_more_results=may_have_more_results,
        )

    def _read_statement(self, statement: Sequence[Token]) -> Findings:
        verb, rest = statement[0].upper, statement[1:]
        match verb:
            case "CALL":
                inside = self._functions_in(after_sign(rest, "("))
                calls = (self._name(rest) or verb, *inside)
                return Findings(calls=calls, may_have_more_results=True)
            case "DO" if self._dialect == "postgresql":
                return Findings(calls=("DO",))
            case "BEGIN" if is_block(statement):
                calls = ("BEGIN NOT ATOMIC",)
                return Findings(calls=calls, may_have_more_results=True)
            case "EXECUTE":
                return self._read_execute(rest)
            case "PREPARE":
                return self._read_prepare(rest)
            case "SET" if rest and rest[0].upper == "STATEMENT":
                inner = after_keyword(rest, "FOR")
                return self._read_statement(inner) if inner else NO_FINDINGS
            case "CREATE" if not runs_query(rest):
                return NO_FINDINGS
            case "EXPLAIN" | "CREATE":
                executed = after_keyword(rest, "EXECUTE")
                if executed:
                    return self._read_execute(executed)
            case _ if verb in DECLARATIONS:
                return NO_FINDINGS
            case _:
                pass
        return Findings(calls=self._functions_in(statement))

    def _read_execute(self, rest: Sequence[Token]) -> Findings:
        is_mysql = self._dialect == "mysql"
        if rest and rest[0].upper == "IMMEDIATE" and is_mysql:
            if is_literal(rest[1:]):
                return self.read(rest[1].text)
            return Findings(calls=("EXECUTE IMMEDIATE",), may_have_more_results=True)
        executes = (self._name(rest),)
        return Findings(executes=executes, may_have_more_results=is_mysql)

    def _read_prepare(self, rest: Sequence[Token]) -> Findings:
        name = self._name(rest)
        calls: tuple[str, ...] | None
        if self._dialect == "postgresql":
            inner = after_keyword(rest, "AS")
            calls = self._read_statement(inner).calls if inner else ()
        else:
            text = after_keyword(rest, "FROM")
            calls = self.read(text[0].text).calls if is_literal(text) else None
        return Findings(prepares=((name, calls),))

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
            if name and not is_table and not is_cte_name(statement, at):
                found[name] = None
        return tuple(found)

    def _name(self, rest: Sequence[Token]) -> str:
        """Return the name at the beginning as the database writes it: schema.name."""
        parts: list[str] = []
        for at, token in enumerate(rest):
            if at % 2:
                if not token.is_sign("."):
                    break
            elif token.kind == "word" and self._dialect == "postgresql":
                parts.append(token.text.lower())
            elif token.kind in ("sign", "string"):
                break
            else:
                parts.append(token.text)
        return ".".join(parts)
