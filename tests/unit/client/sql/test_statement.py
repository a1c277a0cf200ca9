"""Reading a query: values, columns, sources, pages."""

from __future__ import annotations

import re
import sqlite3
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_oac.client.sql.statement import literal, read_statement
from airflow_provider_oac.exceptions import OACQueryError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "NULL"),
        ("O'Neil", "'O''Neil'"),
        ("", "''"),
        (7, "7"),
        (-2.5, "-2.5"),
        (1e30, "1000000000000000000000000000000"),
        (Decimal("0.10"), "0.10"),
        (Decimal("1E-7"), "0.0000001"),
        (date(2026, 1, 31), "DATE '2026-01-31'"),
        (datetime(2026, 1, 31, 6, 30), "TIMESTAMP '2026-01-31 06:30:00'"),
        (datetime(2026, 1, 31, 6, 30, 0, 500_000), "TIMESTAMP '2026-01-31 06:30:00.500000'"),
        (time(6, 30), "TIME '06:30:00'"),
    ],
)
def test_a_value_as_a_literal(value: Any, text: str) -> None:
    assert literal(value) == text


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(texts)
def test_a_text_comes_back_from_its_literal_whatever_it_holds(text: str) -> None:
    """SQLite reads a literal as the standard has it."""
    bound = read_statement("SELECT ? x, '?' y FROM (SELECT 1)", [text]).text
    with sqlite3.connect(":memory:") as database:
        assert database.execute(bound).fetchall() == [(text, "?")]


numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.none() | numbers | texts | st.dates(), min_size=1, max_size=4))
def test_values_change_nothing_of_what_is_around_them(values: list[Any]) -> None:
    text = f'SELECT "S"."T"."C" FROM "S" WHERE 5-? IN ({", ".join("?" * (len(values) - 1)) or "1"})'
    made = read_statement(text, values)
    assert made.sources == ('"S"',)
    assert [column.name for column in read_statement(made.text).columns] == ["c1"]
    assert made.text.startswith('SELECT "S"."T"."C" c1 FROM "S" WHERE 5- ')


def test_question_marks_in_texts_names_and_comments_take_no_value() -> None:
    made = read_statement('SELECT \'?\' a, "b?" b /* ? */ FROM "S" -- ?\nWHERE c = ?', [1])
    assert made.text == 'SELECT \'?\' a, "b?" b FROM "S" WHERE c =  1 '


NO_LITERALS = [True, float("nan"), Decimal("Infinity"), b"x", ["x"], datetime(2026, 1, 1, tzinfo=UTC), "a\0b"]


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ([], "has 1 question marks, but 0 values are given"),
        ([1, 2], "has 1 question marks, but 2 values are given"),
        ("x", "they are str"),
        ({"a": 1}, "they are dict"),
        *(([value], "Could not bind values .*Nothing was sent") for value in NO_LITERALS),
    ],
)
def test_values_that_do_not_fit_or_have_no_literal_are_refused(parameters: Any, problem: str) -> None:
    with pytest.raises(OACQueryError, match=problem):
        read_statement('SELECT a b FROM "S" WHERE a = ?', parameters)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is empty"),
        ("-- nothing", "it is empty"),
        ("DELETE FROM x", "not a SELECT: it begins with DELETE"),
        ("(SELECT 1 x FROM y)", "not a SELECT"),
        ("SELECT 1 x FROM y; DROP TABLE y", "several statements"),
        ("SELECT 'x FROM y", "a quote in the query is not closed"),
        ('SELECT "x FROM y', "a quote in the query is not closed"),
        ("SELECT (1 x FROM y", "parentheses"),
        ("SELECT 1) x FROM y", "parentheses"),
        ("SELECT * FROM y", "has SELECT *"),
        ("SELECT t.* FROM t", "has SELECT *"),
        ("SELECT a, FROM t", "a column of the query is empty"),
        ('SELECT a x, b "X" FROM t', "two columns have the alias x"),
        ("WITH a AS (SELECT 1 x FROM y)", "not followed by a SELECT"),
    ],
)
def test_what_is_not_one_select_is_refused(text: str, problem: str) -> None:
    with pytest.raises(OACQueryError, match=f"{re.escape(problem)}.*Nothing was sent"):
        read_statement(text)


@pytest.mark.parametrize(
    ("text", "expected", "sent"),
    [
        ('SELECT "S"."T"."Col 1" FROM "S"', ["Col 1"], 'SELECT "S"."T"."Col 1" c1 FROM "S"'),
        ("SELECT XSA('o'.'d').\"T\".\"C\" FROM t;", ["C"], "SELECT XSA('o'.'d').\"T\".\"C\" c1 FROM t"),
        ("SELECT DISTINCT a b, COUNT(*) FROM t", ["b", "COUNT(*)"], "SELECT DISTINCT a b, COUNT(*) c2 FROM t"),
        ("SELECT 0 s_0, 'x' AS \"S \"\"1\", NULL, c FROM t", ["s_0", 'S "1', "NULL", "c"],
         "SELECT 0 s_0, 'x' AS \"S \"\"1\", NULL c3, c c4 FROM t"),
        ("SELECT CASE WHEN a THEN 1 ELSE 0 END, x c1 FROM t", ["CASE WHEN a THEN 1 ELSE 0 END", "c1"],
         "SELECT CASE WHEN a THEN 1 ELSE 0 END oac_c1, x c1 FROM t"),
        ("SELECT a + b, f(a, b) z, DATE '2026-01-01' FROM t", ["a + b", "z", "DATE '2026-01-01'"],
         "SELECT a + b c1, f(a, b) z, DATE '2026-01-01' c3 FROM t"),
        ("WITH w AS (SELECT 1 a FROM t) SELECT a FROM w", ["a"], "WITH w AS (SELECT 1 a FROM t) SELECT a c1 FROM w"),
        ("SELECT m S FROM t UNION ALL SELECT n FROM u", ["S"], "SELECT m S FROM t UNION ALL SELECT n FROM u"),
        ("SELECT NOT a FROM t", ["NOT a"], "SELECT NOT a c1 FROM t"),
    ],
)  # fmt: skip
def test_every_column_has_a_name_and_an_alias(text: str, expected: list[str], sent: str) -> None:
    made = read_statement(text)
    assert ([column.name for column in made.columns], made.text) == (expected, sent)


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ('SELECT EXTRACT(YEAR FROM "Sales"."Time"."Day") y FROM "Sales" WHERE 1 = 1', ('"Sales"',)),
        ("select x y from xsa('o'.'d 1')", ("xsa('o'.'d 1')",)),
        ('SELECT x y FROM (SELECT a x FROM "S") q UNION ALL SELECT x FROM "T"', ('"S"', '"T"')),
    ],
)
def test_sources(text: str, sources: tuple[str, ...]) -> None:
    assert read_statement(text).sources == sources


def test_pages_by_offset_need_an_order_and_no_limit() -> None:
    made = read_statement('SELECT a x FROM "S" ORDER BY 1')
    assert made.page(10) == 'SELECT a x FROM "S" ORDER BY 1 FETCH FIRST 10 ROWS ONLY'
    assert made.page(10, offset=20) == 'SELECT a x FROM "S" ORDER BY 1 OFFSET 20 ROWS FETCH FIRST 10 ROWS ONLY'
    with pytest.raises(OACQueryError, match="without ORDER BY"):
        read_statement('SELECT a x FROM (SELECT b a FROM "S" ORDER BY 1) q').page(10)
    with pytest.raises(OACQueryError, match="a query with FETCH cannot"):
        read_statement('SELECT a x FROM "S" ORDER BY 1 FETCH FIRST 1 ROWS ONLY').page(10)


WHERE = "SELECT a c1, b c2 FROM t WHERE"
FIRST_5 = "ORDER BY 2 FETCH FIRST 5 ROWS ONLY"


@pytest.mark.parametrize(
    ("clauses", "page"),
    [
        ("", f"{WHERE} b > 7  {FIRST_5}"),
        ("WHERE x = 1 OR y = 2", f"{WHERE} ( x = 1 OR y = 2) AND b > 7  {FIRST_5}"),
        ("WHERE x = 1 GROUP BY a HAVING c > 1", f"{WHERE} ( x = 1 ) AND b > 7 GROUP BY a HAVING c > 1 {FIRST_5}"),
    ],
)
def test_pages_by_key(clauses: str, page: str) -> None:
    made = read_statement(f"SELECT a, b FROM t {clauses}")
    assert made.page(5, key=made.columns[1], condition="> 7") == page


@pytest.mark.parametrize("clause", ["ORDER BY 1", "UNION ALL SELECT b FROM u"])
def test_a_key_orders_one_query(clause: str) -> None:
    made = read_statement(f"SELECT a FROM t {clause}")
    with pytest.raises(OACQueryError, match=rf"a query with {clause.split()[0]} cannot"):
        made.page(5, key=made.columns[0])
