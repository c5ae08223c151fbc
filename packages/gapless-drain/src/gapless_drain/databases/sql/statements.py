"""A text of SQL split into its statements, and what each statement looks like.  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gapless_drain.databases.sql.tokens import Token

ROUTINES = {"PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE"}
CONTROL = {
    *("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE"),
    *("SET", "RESET", "DISCARD", "DEALLOCATE", "CLOSE", "UNLISTEN", "USE"),
}
"""Verbs that only end other statements or set them up, and so are never refused."""


def split(tokens: Iterator[Token]) -> Iterator[list[Token]]:
    """Yield the statements; the body of a routine is part of the one that creates it."""
    statement: list[Token] = []
    depth, has_body, after_end = 0, False, False
    for token in tokens:
        if token.is_sign(";") and depth <= 0:
            if statement:
                yield statement
            statement, depth, has_body, after_end = [], 0, False, False
            continue
        statement.append(token)
        upper = token.upper
        if not has_body and is_block(statement):
            has_body, depth = True, 1
        has_body = has_body or _creates_routine(statement, upper)
        if has_body and upper:
            if after_end:  # END IF: the IF added no level
                after_end = False
                depth += upper in ("IF", "LOOP", "WHILE", "REPEAT", "FOR")
            elif upper in ("BEGIN", "CASE"):
                depth += 1
            elif upper == "END":
                depth, after_end = depth - 1, True
        else:
            after_end = False
    if statement:
        yield statement


def is_block(statement: Sequence[Token]) -> bool:
    """Return whether a statement is MariaDB's BEGIN NOT ATOMIC, which holds others."""
    first = [token.upper for token in statement[:3]]
    return first == ["BEGIN", "NOT", "ATOMIC"]


def _creates_routine(statement: Sequence[Token], upper: str) -> bool:
    """Return whether a body may follow this keyword, between BEGIN and END."""
    return statement[0].upper == "CREATE" and upper in ROUTINES


def runs_query(rest: Sequence[Token]) -> bool:
    """Return whether a CREATE runs a query, given what follows it: TABLE ... AS."""
    for token in rest:
        if token.upper in ("TABLE", "MATERIALIZED"):
            return True
        if token.upper in ROUTINES or token.kind != "word":
            return False
    return False


def is_cte_name(statement: Sequence[Token], bracket: int) -> bool:
    """Return whether a name is defined before a bracket: WITH name (columns) AS (...)."""
    depth = 0
    for place in range(bracket, len(statement) - 2):
        depth += statement[place].is_sign("(") - statement[place].is_sign(")")
        if depth == 0:
            following = statement[place + 2]
            return statement[place + 1].upper == "AS" and (
                following.is_sign("(") or following.upper in ("NOT", "MATERIALIZED")
            )
    return False


def is_literal(text: Sequence[Token]) -> bool:
    """Return whether a text to be executed is one string, and not an expression."""
    if not text or text[0].kind not in ("string", "either"):
        return False
    return len(text) == 1 or text[1].upper == "USING"


def after_sign(rest: Sequence[Token], sign: str) -> Sequence[Token]:
    """Return what follows the first such sign; empty if there is none."""
    for at, token in enumerate(rest):
        if token.is_sign(sign):
            return rest[at + 1 :]
    return ()


def after_keyword(rest: Sequence[Token], keyword: str) -> Sequence[Token]:
    """Return what follows the first such keyword; empty if there is none."""
    for at, token in enumerate(rest):
        if token.upper == keyword:
            return rest[at + 1 :]
    return ()
