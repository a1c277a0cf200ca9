"""Reading the subset of Logical SQL: text to nodes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from oac_simulator.mcp.sql_errors import QueryError, Unsupported, syntax

_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<comment>--|/\*)|(?P<text>'(?:[^']|'')*')|(?P<quoted>\"[^\"]+\")"
    r"|(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?P<word>[A-Za-z_]\w*)|(?P<sign><>|<=|>=|[-+*/(),.;<>=])"
)
#: What would need more than SQLite to answer truly, wherever it appears.
_REFUSED = re.compile(
    r"JOIN|ON|NATURAL|WITH|INTERSECT|EXCEPT|MINUS|AGO|TODATE|PERIODROLLING|TOPN|BOTTOMN|RANK|NTILE|REPORT_\w+|TRENDLINE"
    r"|EVALUATE\w*|ISLEAF|ISROOT|ISDESCENDANT|ISANCESTOR|ISBROTHER|SET|VALUEOF|SELECT_PHYSICAL|EXISTS|ANY|ALL|OVER|BY"
)
AGGREGATES = ("SUM", "COUNT", "AVG", "MIN", "MAX")
FUNCTIONS = {"IFNULL": 2, "UPPER": 1, "LOWER": 1, "YEAR": 1, "MONTH": 1, "QUARTER_OF_YEAR": 1}
_STAMP = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d+)?)?")
_KEYWORDS = {
    "SELECT", "DISTINCT", "FROM", "WHERE", "GROUP", "HAVING", "ORDER", "OFFSET", "FETCH", "UNION", "AND", "OR", "NOT",
    "CASE", "WHEN", "THEN", "ELSE", "END", "AS", "IS", "IN", "LIKE", "BETWEEN", "ASC", "DESC", "USING", "NULL",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Token:
    """A word of the query, with where it begins and ends."""

    kind: str
    text: str
    begin: int
    end: int

    @property
    def upper(self) -> str:
        """A keyword as it is compared; quoted names and texts are no keywords."""
        return self.text.upper() if self.kind in ("word", "sign", "end") else ""


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression.

    :param kind: `number`, `text`, `date`, `null`, `column`, `alias`, `aggregate`, `override`, `filter`, `call`, `cast`,
        `case`, `arithmetic`, `negative`, `compare`, `logic`, `not`, `between`, `in`, `like`, `null_test`.
    :param value: its name, sign or literal.
    :param parts: the nodes below it.
    :param flag: DISTINCT, or NOT.
    """

    kind: str
    value: str = ""
    parts: tuple[Node, ...] = ()
    flag: bool = False


@dataclass(slots=True)
class Select:
    """One SELECT; `items` are expression and name in the result, `source` a reference or what is in parentheses."""

    items: list[tuple[Node, str]] = field(default_factory=list)
    distinct: bool = False
    source: str | Statement = ""
    where: Node | None = None
    group: list[Node] | None = None
    having: Node | None = None
    #: The name of what is in parentheses.
    name: str = ""


@dataclass(slots=True)
class Statement:
    """SELECTs joined by UNION ALL, with what holds for them together. `order` has an alias or a number, and DESC."""

    selects: list[Select]
    order: list[tuple[str | int, bool]] = field(default_factory=list)
    offset: int | None = None
    fetch: int | None = None


def _tokens(text: str) -> list[Token]:
    found, place = [], 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise syntax(text[place : place + 20])
        place = match.end()
        if match.lastgroup == "comment":
            raise Unsupported("comments")
        if match.lastgroup != "space":
            found.append(Token(str(match.lastgroup), match.group(), match.start(), place))
    return [*found, Token("end", "", place, place)]


def parse(text: str) -> Statement:
    """Read a query.

    :raises QueryError: for a syntax error, and for what is outside the subset.
    """
    parser = _Parser(text)
    statement = parser.statement()
    parser.take(";")
    if parser.now.kind != "end":
        raise syntax(parser.now.text)
    return statement


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._all = _tokens(text)
        self._place = 0
        first = self.now.upper
        if first in ("SET", "WITH", "SELECT_PHYSICAL", "EVALUATE"):
            raise Unsupported(first)
        if first != "SELECT":
            raise syntax(self.now.text)

    # -------------------------------------------------------------------------------------------- tokens

    @property
    def now(self) -> Token:
        return self._all[self._place]

    def sees(self, *words: str) -> bool:
        return all(self._all[min(self._place + n, len(self._all) - 1)].upper == word for n, word in enumerate(words))

    def take(self, *words: str) -> bool:
        """Step over these words if they come next."""
        if not self.sees(*words):
            return False
        self._place += len(words)
        return True

    def need(self, *words: str) -> None:
        for word in words:
            if not self.take(word):
                raise self._wrong()

    def _wrong(self) -> QueryError:
        """Why this token cannot be here."""
        if self.now.kind == "word" and _REFUSED.fullmatch(self.now.upper):
            return Unsupported(self.now.upper)
        return syntax(self.now.text or "end of the query")

    def _next(self, *kinds: str) -> str:
        token = self.now
        if token.kind not in kinds or (token.kind == "word" and token.upper in _KEYWORDS):
            raise self._wrong()
        self._place += 1
        return token.text[1:-1].replace("''", "'") if token.kind in ("text", "quoted") else token.text

    def _list(self, one: Callable[[], Node]) -> list[Node]:
        found = [one()]
        while self.take(","):
            found.append(one())
        return found

    # ----------------------------------------------------------------------------------------- statement

    def statement(self) -> Statement:
        statement = Statement([self._select()])
        while self.take("UNION"):
            if not self.take("ALL"):
                raise Unsupported("UNION without ALL")
            statement.selects.append(self._select())
        if self.take("ORDER"):
            self.need("BY")
            statement.order = [self._order()]
            while self.take(","):
                statement.order.append(self._order())
        if self.take("OFFSET"):
            statement.offset = self._count()
            self.need("ROWS")
        if self.take("FETCH"):
            self.need("FIRST")
            statement.fetch = self._count()
            self.need("ROWS", "ONLY")
        return statement

    def _count(self) -> int:
        text = self._next("number")
        if not text.isdigit() or int(text) == 0:
            raise syntax(text)
        return int(text)

    def _order(self) -> tuple[str | int, bool]:
        key: str | int
        if self.now.kind == "number":
            key = self._count()
        else:
            key = self._next("word", "quoted")
            if self.sees(".") or self.sees("("):
                raise Unsupported("ORDER BY of anything but an alias or a number")
        down = self.take("DESC")
        if not down:
            self.take("ASC")
        return key, down

    def _select(self) -> Select:
        self.need("SELECT")
        select = Select(distinct=self.take("DISTINCT"))
        if self.sees("*"):
            raise Unsupported("SELECT *")
        select.items.append(self._item())
        while self.take(","):
            select.items.append(self._item())
        self.need("FROM")
        if self.take("("):
            select.source = self.statement()
            self.need(")")
            self.take("AS")
            if self.now.kind == "quoted" or (self.now.kind == "word" and self.now.upper not in _KEYWORDS):
                select.name = self._next("word", "quoted")
        else:
            select.source = self._source()
        if self.sees(","):
            raise Unsupported("several sources in FROM")
        if self.take("WHERE"):
            select.where = self.condition()
        if self.take("GROUP"):
            self.need("BY")
            select.group = self._list(self.expression)
        if self.take("HAVING"):
            select.having = self.condition()
        return select

    def _source(self) -> str:
        if self.sees("XSA"):
            return self._xsa()
        if self.now.kind == "text":
            raise QueryError(None, "A dataset is written XSA('owner'.'dataset'); its bare name is not a subject area.")
        return self._next("quoted", "word")

    def _xsa(self) -> str:
        """`XSA('owner'.'dataset')` in the one spelling that the model has."""
        self.need("XSA", "(")
        owner = self._next("text")
        self.need(".")
        name = self._next("text")
        self.need(")")
        return f"XSA('{owner}'.'{name}')"

    def _item(self) -> tuple[Node, str]:
        begin = self.now.begin
        node = self.condition()
        written = self._text[begin : self._all[self._place - 1].end]
        if self.take("AS"):
            return node, self._next("word", "quoted")
        if self.now.kind == "quoted" or (self.now.kind == "word" and self.now.upper not in _KEYWORDS):
            return node, self._next("word", "quoted")
        # Without an alias the expression is the key (observed).
        return node, written

    # ---------------------------------------------------------------------------------------- conditions

    def condition(self) -> Node:
        left = self._conjunction()
        while self.take("OR"):
            left = Node("logic", "OR", (left, self._conjunction()))
        return left

    def _conjunction(self) -> Node:
        left = self._negation()
        while self.take("AND"):
            left = Node("logic", "AND", (left, self._negation()))
        return left

    def _negation(self) -> Node:
        if self.take("NOT"):
            return Node("not", parts=(self._negation(),))
        return self._comparison()

    def _comparison(self) -> Node:
        left = self.expression()
        if self.now.upper in ("=", "<>", "<", ">", "<=", ">="):
            return Node("compare", self._next("sign"), (left, self.expression()))
        if self.take("IS"):
            no = self.take("NOT")
            self.need("NULL")
            return Node("null_test", parts=(left,), flag=no)
        no = self.take("NOT")
        if self.take("BETWEEN"):
            low = self.expression()
            self.need("AND")
            return Node("between", parts=(left, low, self.expression()), flag=no)
        if self.take("LIKE"):
            return Node("like", parts=(left, self.expression()), flag=no)
        if self.take("IN"):
            self.need("(")
            if self.sees("SELECT"):
                raise Unsupported("NOT IN with a query" if no else "IN with a query")
            found = self._list(self.expression)
            self.need(")")
            return Node("in", parts=(left, *found), flag=no)
        if no:
            raise self._wrong()
        return left

    # --------------------------------------------------------------------------------------- expressions

    def expression(self) -> Node:
        left = self._term()
        while self.sees("+") or self.sees("-"):
            left = Node("arithmetic", self._next("sign"), (left, self._term()))
        return left

    def _term(self) -> Node:
        left = self._factor()
        while self.sees("*") or self.sees("/"):
            left = Node("arithmetic", self._next("sign"), (left, self._factor()))
        return left

    def _factor(self) -> Node:
        if self.take("-"):
            return Node("negative", parts=(self._factor(),))
        if self.take("("):
            if self.sees("SELECT"):
                raise Unsupported("a query as a value")
            node = self.condition()
            self.need(")")
            return node
        kind = self.now.kind
        if kind in ("number", "text"):
            return Node(kind, self._next(kind))
        if self.take("NULL"):
            return Node("null")
        if kind == "quoted":
            return self._column([])
        if kind == "word":
            return self._word()
        raise self._wrong()

    def _column(self, parts: list[str]) -> Node:
        """`"Area"."Table"."Column"`; after XSA(…) the two further parts."""
        if not parts:
            parts = [self._next("quoted")]
        while self.take("."):
            parts.append(self._next("quoted", "word"))
        if len(parts) == 1:
            return Node("alias", parts[0])
        return Node("column", parts=tuple(Node("alias", part) for part in parts))

    def _word(self) -> Node:
        name = self.now.upper
        if name == "CASE":
            return self._case()
        if name == "XSA":
            return self._column([self._xsa()])
        following = self._all[self._place + 1]
        if name in ("DATE", "TIMESTAMP") and following.kind == "text":
            self._place += 1
            return Node("date", _moment(self._next("text"), name))
        if following.text != "(":
            return self._column([self._next("word")])
        self._place += 2
        if name in AGGREGATES:
            node = self._aggregate(name)
        elif name == "OVERRIDEAGGR":
            node = Node("override", parts=(self.expression(),))
        elif name == "FILTER":
            measure = self.expression()
            self.need("USING")
            node = Node("filter", parts=(measure, self.condition()))
        elif name == "CAST":
            inner = self.expression()
            self.need("AS")
            node = Node("cast", self._type(), (inner,))
        elif name in FUNCTIONS:
            node = Node("call", name, tuple(self._list(self.expression)))
            if len(node.parts) != FUNCTIONS[name]:
                raise syntax(name)
        else:
            raise Unsupported(f"the function {name}")
        self.need(")")
        return node

    def _aggregate(self, name: str) -> Node:
        if name == "COUNT" and self.take("*"):
            return Node("aggregate", name)
        distinct = self.take("DISTINCT")
        return Node("aggregate", name, (self.expression(),), distinct)

    def _type(self) -> str:
        name = self._next("word").upper()
        if name not in ("INTEGER", "DOUBLE", "VARCHAR", "DATE", "TIMESTAMP"):
            raise Unsupported(f"CAST to {name}")
        if name == "VARCHAR" and self.take("("):
            name = f"VARCHAR({self._count()})"
            self.need(")")
        return name

    def _case(self) -> Node:
        """CASE as `when, then, when, then, …, else`; the form with an operand becomes comparisons."""
        self.need("CASE")
        operand = None if self.sees("WHEN") else self.expression()
        parts: list[Node] = []
        while self.take("WHEN"):
            when = self.condition() if operand is None else Node("compare", "=", (operand, self.expression()))
            self.need("THEN")
            parts += [when, self.expression()]
        if not parts:
            raise self._wrong()
        parts.append(self.expression() if self.take("ELSE") else Node("null"))
        self.need("END")
        return Node("case", parts=tuple(parts))


def _moment(text: str, name: str) -> str:
    """The literal as the data is stored."""
    if not _STAMP.fullmatch(text) or (name == "DATE" and len(text) != 10) or (name == "TIMESTAMP" and len(text) == 10):
        raise syntax(f"{name} '{text}'")
    full = text if len(text) > 10 else f"{text} 00:00:00"
    return full if "." in full else f"{full}.0"
