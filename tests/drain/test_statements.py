"""Which stored procedures a text of SQL calls."""

from __future__ import annotations

import time

import pytest
from gapless_drain.databases.sql.procedures import Findings, ProcedureFinder
from gapless_drain.databases.sql.tokens import Dialect, tokens
from hypothesis import given
from hypothesis import strategies as st

BOTH: tuple[Dialect, ...] = ("postgresql", "mysql")
FUNCTIONS = ("close_month", "books.open_year")
PG, MY = ("postgresql",), ("mysql",)
CASES: list[tuple[tuple[str, ...], str, str]] = [
    # dialects, text, what it calls
    (BOTH, "CALL close_month(2026, 11)", "close_month"),
    (BOTH, "call  close_month ( %s )", "close_month"),
    (BOTH, "CALL books.close_month(%(year)s)", "books.close_month"),
    (PG, "CALL Close_Month(1)", "close_month"),
    (PG, 'CALL "Close Month"(1)', "Close Month"),
    (PG, 'CALL "books" . "a""b"(1)', 'books.a"b'),
    (MY, "CALL Close_Month(1)", "Close_Month"),
    (MY, "CALL `a``b`.`Close Month`(1)", "a`b.Close Month"),
    (MY, "CALL no_parentheses", "no_parentheses"),
    (BOTH, "-- CALL no()\nCALL yes()", "yes"),
    (BOTH, "/* CALL no() */ CALL /* here */ yes()", "yes"),
    (BOTH, "SELECT 1 -- CALL no()", ""),
    (BOTH, "SELECT 'CALL no()'", ""),
    (BOTH, "SELECT 'it''s; CALL no()'", ""),
    (BOTH, "SELECT 1; CALL a(); SELECT 2; CALL b(';')", "a, b"),
    (BOTH, "; ;CALL a();;", "a"),
    (BOTH, "SELECT call FROM calls", ""),
    (BOTH, "INSERT INTO calls VALUES ('CALL')", ""),
    (BOTH, "WITH call AS (SELECT 1) SELECT * FROM call", ""),
    (BOTH, "", ""),
    (BOTH, "CALL", "CALL"),  # without a name the database refuses it
    (BOTH, "SELECT 'unfinished; CALL no()", ""),
    (BOTH, "SELECT /* unfinished; CALL no()", ""),
    # PostgreSQL's own
    (PG, "/* a /* nested; */ CALL no(); */ CALL yes()", "yes"),
    (PG, "/* a /* nested */ CALL no()", ""),
    (PG, "SELECT $$; CALL no(); $$", ""),
    (PG, "SELECT $a$ $$; CALL no(); $b$ $a$; CALL yes($1)", "yes"),
    (PG, "SELECT $1; CALL yes($2)", "yes"),
    (PG, "SELECT a$b$c; CALL yes()", "yes"),
    (PG, r"SELECT E'it\'s; CALL no()'; CALL yes()", "yes"),
    (PG, r"SELECT e'\\'; CALL yes()", "yes"),
    (PG, r"SELECT 'a\'; CALL yes()", "yes"),
    (PG, r"SELECT U&'\0041', b'1', n'a;CALL no()'; CALL yes()", "yes"),
    (PG, 'SELECT "a;CALL no()"', ""),
    (PG, "DO $$ BEGIN PERFORM 1; END $$", "DO"),
    (PG, "DO LANGUAGE plpgsql 'BEGIN END'", "DO"),
    (PG, "INSERT INTO a VALUES (1) ON CONFLICT DO NOTHING", ""),
    (PG, "SELECT 1 # 2; CALL yes()", "yes"),
    (PG, "CREATE PROCEDURE p() LANGUAGE SQL AS $$ CALL no() $$; CALL p()", "p"),
    (
        PG,
        "CREATE PROCEDURE p() BEGIN ATOMIC CALL no(); SELECT CASE WHEN true THEN 1 END;"
        " CALL no(); END; CALL yes()",
        "yes",
    ),
    (PG, "CREATE FUNCTION close_month(a int) RETURNS int AS 'x'", ""),
    (PG, "CREATE TRIGGER t AFTER INSERT ON a EXECUTE FUNCTION close_month()", ""),
    (PG, "CREATE TABLE t AS SELECT close_month(1)", "close_month"),
    (PG, "CREATE MATERIALIZED VIEW t AS SELECT close_month(1)", "close_month"),
    (PG, "EXPLAIN ANALYZE SELECT close_month(1)", "close_month"),
    # MySQL's and MariaDB's own
    (MY, r"SELECT 'it\'s; CALL no()'; CALL yes()", "yes"),
    (MY, r'SELECT "it\"s; CALL no()"; CALL yes()', "yes"),
    (MY, 'SELECT "a""b; CALL no()"; CALL yes()', "yes"),
    (MY, "# CALL no()\nCALL yes()", "yes"),
    (MY, "SELECT 1--1; CALL yes()", "yes"),
    (MY, "SELECT 1 --\t; CALL no()", ""),
    (MY, "/*!50000 CALL yes() */", "yes"),
    (MY, "/*M!100100 CALL yes() */", "yes"),
    (MY, "/* not /* nested */ CALL yes()", "yes"),
    (MY, "SELECT `;CALL no()`", ""),
    (MY, "SELECT $$; CALL yes()", "yes"),
    (MY, "DO SLEEP(1)", ""),
    (MY, "DO close_month(1)", "close_month"),
    (MY, "SET STATEMENT max_statement_time = 1 FOR CALL yes()", "yes"),
    (MY, "EXECUTE IMMEDIATE 'CALL yes()'", "yes"),
    (MY, "EXECUTE IMMEDIATE 'SELECT 1'", ""),
    (MY, "EXECUTE IMMEDIATE @text", "EXECUTE IMMEDIATE"),
    (MY, "BEGIN NOT ATOMIC CALL no(); END", "BEGIN NOT ATOMIC"),
    (MY, "BEGIN NOT ATOMIC CALL no(); CALL no(); END; CALL a()", "BEGIN NOT ATOMIC, a"),
    (PG, "BEGIN NOT DEFERRABLE; CALL yes()", "yes"),
    (PG, "DO", "DO"),
    (MY, "SELECT @call, @@do", ""),
    (
        MY,
        "CREATE PROCEDURE p() BEGIN IF 1 THEN CALL no(); END IF; CASE 1 WHEN 1 THEN"
        " CALL no(); END CASE; WHILE 0 DO CALL no(); END WHILE; CALL no(); END;"
        " CALL yes()",
        "yes",
    ),
    # functions of the configuration
    (BOTH, "SELECT close_month(1)", "close_month"),
    (PG, "SELECT a, 1 + CLOSE_MONTH (1) FROM b", "close_month"),
    (MY, "SELECT a, 1 + CLOSE_MONTH (1) FROM b", "close_month"),
    (BOTH, "SELECT * FROM close_month(1) AS m", "close_month"),
    (BOTH, "WITH a AS (SELECT close_month(1)) SELECT * FROM a", "close_month"),
    (BOTH, "SELECT any_schema.close_month(1)", "close_month"),
    (BOTH, "SELECT books.open_year(1)", "books.open_year"),
    (BOTH, "SELECT open_year(1), other.open_year(1)", ""),
    (BOTH, "SELECT close_month FROM a", ""),
    (BOTH, "SELECT 'close_month(1)'", ""),
    (BOTH, "SELECT not_close_month(1), close_month_not(1)", ""),
    (BOTH, "INSERT INTO close_month (a) VALUES (1)", ""),
    (BOTH, "INSERT INTO a VALUES (close_month(1))", "close_month"),
    (BOTH, "DROP FUNCTION close_month(int)", ""),
    (BOTH, "GRANT EXECUTE ON FUNCTION close_month(int) TO a", ""),
    (PG, 'SELECT "close_month"(1)', "close_month"),
    (MY, "SELECT `close_month`(1)", "close_month"),
]


@pytest.mark.parametrize(
    ("dialect", "text", "calls"),
    [(dialect, text, calls) for own, text, calls in CASES for dialect in own],
)
def test_what_is_called(dialect: Dialect, text: str, calls: str) -> None:
    """Also with comments, quotes, common table expressions, several statements."""
    found = ProcedureFinder(dialect, FUNCTIONS).find(text)
    assert ", ".join(found.calls) == calls


def test_what_is_prepared_is_known_when_it_is_executed() -> None:
    """PREPARE has a name for what EXECUTE calls."""
    mysql = ProcedureFinder("mysql")
    postgresql = ProcedureFinder("postgresql", FUNCTIONS)
    assert mysql.find("PREPARE s FROM 'CALL p(?)'").prepares == (("s", ("p",)),)
    assert mysql.find("PREPARE s FROM 'SELECT 1'").prepares == (("s", ()),)
    assert mysql.find("PREPARE s FROM @text").prepares == (("s", None),)
    assert mysql.find("EXECUTE s USING @a").executes == ("s",)
    prepared = postgresql.find("PREPARE s (int) AS SELECT close_month($1)")
    assert prepared.prepares == (("s", ("close_month",)),)
    assert prepared.calls == ()
    assert postgresql.find("EXECUTE s(1)").executes == ("s",)
    assert postgresql.find("EXPLAIN ANALYZE EXECUTE s(1)").executes == ("s",)
    assert postgresql.find("CREATE TABLE t AS EXECUTE s(1)").executes == ("s",)


QUOTED = {
    "postgresql": ["'{}'", '"{}"', "$x$ {} $x$", "/* {} */", "-- {}\n"],
    "mysql": ["'{}'", '"{}"', "`{}`", "/* {} */", "# {}\n", "-- {}\n"],
}
PLAIN = st.text("abc ;()CALL\n", max_size=20).filter(lambda text: "\n" not in text)


@pytest.mark.parametrize("dialect", BOTH)
@given(data=st.data())
def test_what_is_quoted_calls_nothing(dialect: Dialect, data: st.DataObject) -> None:
    """Whatever is between quotes or in comments."""
    pieces = data.draw(
        st.lists(st.tuples(st.sampled_from(QUOTED[dialect]), PLAIN), max_size=5)
    )
    hidden = " ".join(form.format(inside) for form, inside in pieces)
    finder = ProcedureFinder(dialect)
    assert finder.read(f"SELECT {hidden}").calls == ()
    assert finder.read(f"SELECT {hidden}; CALL yes({hidden})").calls == ("yes",)


@pytest.mark.parametrize("dialect", BOTH)
@given(text=st.text("CALLDOdoab'\"`$\\/*-#!;(). \n1é\x00EexecutePREPAREFROM"))
def test_any_text_is_read(dialect: Dialect, text: str) -> None:
    """The database refuses what is not valid; `find` finds what `read` finds."""
    finder = ProcedureFinder(dialect, FUNCTIONS)
    assert isinstance(finder.read(text), Findings)
    found, read = finder.find(text), finder.read(text)
    assert (found.calls, found.executes, found.prepares) == (
        read.calls,
        read.executes,
        read.prepares,
    )


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize("piece", ["'", "''", "\\'", "/*", "/*/", "$$", "$a", "(", '"'])
def test_a_long_text_takes_time_by_its_length_only(
    dialect: Dialect, piece: str
) -> None:
    """Two hundred thousand of any piece are read in linear time."""
    began = time.monotonic()
    list(tokens("CALL " + piece * 200_000, dialect))
    assert time.monotonic() - began < 60
