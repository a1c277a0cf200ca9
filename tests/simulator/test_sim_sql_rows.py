"""Five hundred random queries of the subset: rows over HTTP against what SQLite says to a query written beside them.

The queries of SQLite are written here, from what a measure means, and not by the simulator's translator.
"""

from __future__ import annotations

import math
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from oac_simulator.launch import Simulator
from tests.simulator.sim_caller import Caller
from tests.simulator.sim_mcp import Session

QUERIES = 500
#: An expression in Logical SQL and in SQLite.
Pair = tuple[str, str]


@dataclass(frozen=True)
class Area:
    """A source with its columns: measures with their rule, attributes by type, and values that occur."""

    written: str
    stored: str
    measures: dict[str, str]
    texts: dict[str, list[str]]
    dates: list[str]
    numbers: list[str]

    def column(self, name: str) -> Pair:
        table, _, bare = name.partition(".")
        return f'{self.written}."{table}"."{bare}"', f'"{name}"'


AREAS = (
    Area(
        '"Sales History"', '"Sales History"',
        {"Facts.Revenue": "SUM", "Facts.Quantity": "SUM", "Facts.Discount": "SUM", "Facts.Unit Price": "AVG",
         "Facts.Lowest Price": "MIN", "Facts.Highest Price": "MAX", "Facts.Orders": "COUNT"},
        {"Products.Category": ["Category 0", "Category 3"], "Customers.Region": ["Asia", "Europe"],
         "Orders.Status": ["Open", "Returned"], "Products.Product": ["Product 03", "Product 11"]},
        ["Time.Day", "Orders.Shipped At"], ["Orders.Order Number"],
    ),
    Area(
        "XSA('admin'.'Orders')", "\"XSA('admin'.'Orders')\"",
        {"ORDERS.Amount": "SUM", "ORDERS.Quantity": "SUM"},
        {"ORDERS.Status": ["Delivered", "O'Neill"], "ORDERS.Customer": ["Customer 04  ", "Customer 31"]},
        ["ORDERS.Ordered At"], ["ORDERS.Order ID"],
    ),
    Area(
        "XSA('admin'.'Budget Lines')", "\"XSA('admin'.'Budget Lines')\"",
        {"BUDGET_LINES.Planned": "SUM"},
        {"COST_CENTRES.Cost Centre": ["Cost Centre 07"], "COST_CENTRES.Manager": ["Manager 1", "Manager 6"]},
        ["BUDGET_LINES.Month"], ["BUDGET_LINES.Line"],
    ),
)  # fmt: skip


def both(template: str, *parts: Pair | str) -> Pair:
    """Fill a template in both languages; a part that is one text is the same in both."""
    left, right = ([part if isinstance(part, str) else part[side] for part in parts] for side in (0, 1))
    return template.format(*left), template.format(*right)


def month(date: Pair) -> str:
    return f"CAST(strftime('%m', {date[1]}) AS INTEGER)"


@dataclass
class Writer:
    """Writes one query twice.

    :param dice: decides.
    :param area: what it is about.
    """

    dice: random.Random
    area: Area

    def text(self) -> tuple[Pair, str]:
        """A column of texts, and a text to compare it with."""
        name = self.dice.choice(sorted(self.area.texts))
        text = self.dice.choice(self.area.texts[name]).replace("'", "''")
        return self.area.column(name), f"'{text}'"

    def date(self) -> tuple[Pair, Pair]:
        moment = f"2026-0{self.dice.randint(1, 6)}-{self.dice.randint(10, 28)}"
        literals = (
            (f"DATE '{moment}'", f"'{moment} 00:00:00.0'"),
            (f"TIMESTAMP '{moment} 12:30:00'", f"'{moment} 12:30:00.0'"),
        )
        return self.area.column(self.dice.choice(self.area.dates)), self.dice.choice(literals)

    def number(self) -> tuple[Pair, str]:
        name = self.area.numbers[0]
        first = 9_007_199_254_740_993 if name == "Orders.Order Number" else 1
        return self.area.column(name), str(first + self.dice.randint(0, 400))

    def test(self) -> Pair:
        """A condition on one attribute."""
        no, sign = self.dice.choice(["", "NOT "]), self.dice.choice(["=", "<>", "<", ">", "<=", ">="])
        (text, literal), (date, moment), (number, low) = self.text(), self.date(), self.number()
        parts: list[Pair] = [
            both("{} {} {}", text, sign, literal),
            both("{} {}IN ({}, 'x')", text, no, literal),
            (f"{text[0]} {no}LIKE '%1%'", f"instr({text[1]}, '1') {'=' if no else '>'} 0"),
            (f"{text[0]} IS {no}NULL", f"{text[1]} {'NOTNULL' if no else 'ISNULL'}"),
            both("{} {} {}", date, sign, moment),
            (f"{number[0]} {no}BETWEEN {low} AND {low} + 50",
             f"{no}({number[1]} >= {low} AND {number[1]} <= {low} + 50)"),
            (f"MONTH({date[0]}) {sign} 3", f"{month(date)} {sign} 3"),
        ]  # fmt: skip
        return self.dice.choice(parts)

    def condition(self, depth: int = 2) -> Pair:
        if depth == 0 or self.dice.random() < 0.4:
            return self.test()
        left, right = self.condition(depth - 1), self.condition(depth - 1)
        template = self.dice.choice(["({}) AND ({})", "({}) OR ({})", "(NOT ({})) AND ({})", "(NOT ({})) OR ({})"])
        return both(template, left, right)

    def attribute(self) -> Pair:
        (text, literal), (date, _), (number, low), when = self.text(), self.date(), self.number(), self.test()
        parts: list[Pair] = [
            text, text, date,
            (f"YEAR({date[0]})", f"CAST(strftime('%Y', {date[1]}) AS INTEGER)"),
            (f"QUARTER_OF_YEAR({date[0]})", f"({month(date)} + 2) / 3"),
            both("UPPER({})", text),
            (f"IFNULL({text[0]}, 'none')", f"coalesce({text[1]}, 'none')"),
            both("CASE WHEN {} THEN {} - {} ELSE 2 * 3 END", when, number, low),
            (f"CASE {text[0]} WHEN {literal} THEN 'a' END", f"CASE WHEN {text[1]} = {literal} THEN 'a' END"),
        ]  # fmt: skip
        return self.dice.choice(parts)

    def measure(self) -> Pair:
        first, second = (self.dice.choice(sorted(self.area.measures)) for _ in range(2))
        (written, stored), (other, _) = self.area.column(first), self.area.column(second)
        rule = self.area.measures[first]
        total, more = (f'{self.area.measures[name]}("{name}")' for name in (first, second))
        (text, _), when = self.text(), self.condition(1)
        aggregate = self.dice.choice(["SUM", "AVG", "MIN", "MAX", "COUNT"])
        trap = self.dice.choice(["AVG", "MIN", "MAX", "SUM"])
        parts: list[Pair] = [
            (written, total),
            (f"{trap}({written})", total),
            (f"{aggregate}(OVERRIDEAGGR({written}))", f"{aggregate}({stored})"),
            (f"FILTER({written} USING {when[0]})", f"{rule}({stored}) FILTER (WHERE {when[1]})"),
            (f"{written} + 2 * {other}", f"{total} + 2 * {more}"),
            (f"{written} / ({other} * 0 + 4)", f"{total} / (4.0 + 0 * {more})"),
            both("COUNT(DISTINCT {})", text),
            ("COUNT(*)", "COUNT(*)"),
            both(f"{self.dice.choice(['MIN', 'MAX', 'COUNT'])}({{}})", text),
            # Of no rows, a sum is NULL and a count is 0.
            (f"SUM(CASE WHEN {when[0]} THEN 1 ELSE 0 END)",
             f"CASE WHEN COUNT(*) > 0 THEN COUNT(*) FILTER (WHERE {when[1]}) END"),
        ]  # fmt: skip
        return self.dice.choice(parts)

    def query(self) -> tuple[str, str, bool]:
        """A query in both languages, and whether its rows have an order."""
        dice = self.dice
        rows = list(dict.fromkeys(self.attribute() for _ in range(dice.randint(0, 3))))
        groups = [self.measure() for _ in range(dice.randint(0 if rows else 1, 3))]
        items = [*rows, *groups]
        dice.shuffle(items)
        shown = ", ".join(f"{written} {dice.choice(['AS ', ''])}c{n}" for n, (written, _) in enumerate(items))
        stored = ", ".join(f"{stored} AS c{n}" for n, (_, stored) in enumerate(items))
        distinct = dice.choice(["", "DISTINCT "])
        logical = f"SELECT {distinct}{shown} FROM {self.area.written}"
        direct = f"SELECT {distinct if groups else 'DISTINCT '}{stored} FROM {self.area.stored}"
        if dice.random() < 0.7:
            written, plain = self.condition()
            logical, direct = f"{logical} WHERE {written}", f"{direct} WHERE {plain}"
        if rows and groups:
            direct += f" GROUP BY {', '.join(plain for _, plain in rows)}"
        if rows and dice.random() < 0.3:
            logical += f" GROUP BY {', '.join(written for written, _ in rows)}"
        if groups and rows and dice.random() < 0.3 and "COUNT(*)" in dict(groups):
            place = items.index(("COUNT(*)", "COUNT(*)"))
            logical, direct = f"{logical} HAVING c{place} > 3", f"{direct} HAVING COUNT(*) > 3"
        if dice.random() < 0.25:
            # Around it a second query, as tools write that count or limit another.
            logical = f"SELECT COUNT(*) n, MAX(c0) m FROM ({logical}) AS q"
            direct = f"SELECT COUNT(*), MAX(c0) FROM ({direct})"
            if dice.random() < 0.5:
                logical, direct = f"{logical} UNION ALL {logical}", f"{direct} UNION ALL {direct}"
            return logical, direct, False
        if dice.random() < 0.5:
            keys = [dice.choice([str(n + 1), f"c{n}"]) for n in range(len(items))]
            ways = [key + dice.choice(["", " ASC", " DESC"]) for key in keys]
            order = f" ORDER BY {', '.join(ways)}"
            skip, keep = dice.randint(1, 5), dice.randint(1, 40)
            limits = (
                ("", ""),
                (f" FETCH FIRST {keep} ROWS ONLY", f" LIMIT {keep}"),
                (f" OFFSET {skip} ROWS FETCH FIRST {keep} ROWS ONLY", f" LIMIT {keep} OFFSET {skip}"),
            )
            limit = dice.choice(limits)
            return logical + order + limit[0], direct + order + limit[1], True
        return logical, direct, False


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) or isinstance(right, float):
        return left is not None and right is not None and math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-9)
    return bool(left == right)


def key(row: list[Any]) -> list[tuple[str, Any]]:
    return [(type(cell).__name__ if not isinstance(cell, int | float) else "number",
             round(cell, 6) if isinstance(cell, float) else cell or 0) for cell in row]  # fmt: skip


@pytest.fixture(scope="module")
def database(running: Simulator) -> Iterator[sqlite3.Connection]:
    running.control.reset()
    running.control.data("dev", "SELECT 1")
    with closing(sqlite3.connect(running.state / "data-dev.sqlite")) as opened:
        yield opened


def test_random_queries_give_the_rows_of_sqlite(running: Simulator, database: sqlite3.Connection) -> None:
    caller = Caller(running)
    with caller.session:
        session = Session(caller)
        answered = 0
        for seed in range(QUERIES):
            dice = random.Random(seed)
            logical, direct, ordered = Writer(dice, dice.choice(AREAS)).query()
            found = [list(row.values()) for row in session.rows(logical, maxRows=100_000)]
            wanted = [
                [cell.rstrip(" ") if isinstance(cell, str) else cell for cell in row]
                for row in database.execute(direct)
            ]
            if not ordered:
                found, wanted = sorted(found, key=key), sorted(wanted, key=key)
            said = f"seed {seed}\n{logical}\n{direct}\n{found[:5]}\n{wanted[:5]}"
            assert len(found) == len(wanted), said
            assert all(same(*pair) for one in zip(found, wanted, strict=True) for pair in zip(*one, strict=True)), said
            answered += bool(found)
        # The queries would prove little if most of them found nothing.
        assert answered > QUERIES * 0.8
