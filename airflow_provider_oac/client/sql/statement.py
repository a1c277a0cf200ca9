"""One SELECT of Logical SQL, read as far as the provider must: its columns, its sources, and where its clauses are.

OAC has no parameters and gives no metadata with a result. So values are quoted here, every column gets a name of its
own, and pages are made by changing the text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, NamedTuple

from airflow_provider_oac.client.sql.errors import refusal

_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<comment>--[^\n]*|/\*.*?\*/)|(?P<text>'(?:[^']|'')*')|(?P<name>\"(?:[^\"]|\"\")*\")"
    r"|(?P<word>[^\W\d]\w*)|(?P<number>\d[\d.]*(?:[eE][+-]?\d+)?)|(?P<sign>.)",
    re.DOTALL,
)
# After these words no expression ends, so that what follows is no alias.
_OPENING = frozenset(
    {
        "AND", "OR", "NOT", "IS", "IN", "LIKE", "BETWEEN", "CASE", "WHEN", "THEN", "ELSE", "USING", "AS", "BY", "FROM",
        "DISTINCT", "ALL", "SELECT",
    }
)  # fmt: skip
_NO_ALIAS = frozenset({"END", "NULL", "ASC", "DESC"})
_CLAUSES = ("WHERE", "GROUP", "HAVING", "ORDER", "OFFSET", "FETCH")
_SETS = frozenset({"UNION", "INTERSECT", "EXCEPT", "MINUS"})


class Token(NamedTuple):
    """A part of the text.

    :param depth: in how many parentheses it is.
    """

    kind: str
    text: str
    begin: int
    end: int
    depth: int

    @property
    def word(self) -> str:
        """A keyword, a name without quotes or a sign, in capitals; names in quotes and texts are neither."""
        return "" if self.kind in ("text", "name") else self.text.upper()


class Column(NamedTuple):
    """A column of the result.

    :param name: what people call it.
    :param key: by which OAC returns it.
    :param expression: what it is.
    """

    name: str
    key: str
    expression: str


@dataclass(frozen=True)
class Statement:
    """A statement that can be sent.

    :param text: without comments, every column with an alias.
    :param columns: in order.
    :param sources: what stands after FROM, as it is written.
    :param values: the texts in it, which belong into no message.
    """

    text: str
    columns: tuple[Column, ...]
    sources: tuple[str, ...]
    values: tuple[str, ...]
    _tokens: tuple[Token, ...]

    @property
    def doing(self) -> str:
        """What running it does, for messages."""
        return f"query {', '.join(self.sources) or 'OAC'}"

    def clause(self, name: str) -> Token | None:
        """The word at the outermost level that begins a clause, or joins queries."""
        return next((token for token in self._tokens if token.depth == 0 and token.word == name), None)

    def page(self, rows: int, offset: int = 0) -> str:
        """The text for so many rows after some others.

        :raises OACQueryError: if the query has no order, or an own limit.
        """
        if self.clause("ORDER") is None:
            step = "Add ORDER BY with columns that tell all rows apart, or name the column that does as the key."
            raise refusal(self.doing, "pages of a query without ORDER BY may repeat rows and lose others", step)
        return self._limited(self.text, rows, offset)

    def page_by_key(self, key: Column, rows: int | None, condition: str) -> str:
        """The text for rows in the order of a key column.

        :param rows: how many.
        :param condition: what must hold of the key, such as ``> 7``; empty for nothing.
        :raises OACQueryError: if the query has an order or a limit, or joins several queries.
        """
        found = [name for name in (*_SETS, "ORDER") if self.clause(name)]
        if found:
            step = "Leave it out: the key orders the rows. Pages by ORDER BY need no key."
            raise refusal(self.doing, f"pages by key cannot be made of a query with {' and '.join(found)}", step)
        text = self.text
        if condition:
            condition = f"{key.expression} {condition}"
            where = self.clause("WHERE")
            following = (token for name in _CLAUSES[1:] if (token := self.clause(name)))
            end = min((token.begin for token in following), default=len(text))
            if where is None:
                text = f"{text[:end].rstrip()} WHERE {condition} {text[end:]}".rstrip()
            else:
                inner = text[where.end : end].strip()
                text = f"{text[: where.end]} ({inner}) AND {condition} {text[end:]}".rstrip()
        return self._limited(f"{text} ORDER BY {self.columns.index(key) + 1}", rows, 0)

    def _limited(self, text: str, rows: int | None, offset: int) -> str:
        for name in ("OFFSET", "FETCH"):
            if self.clause(name):
                raise refusal(self.doing, f"a query with {name} cannot be paged", f"Leave {name} out.")
        skip = f" OFFSET {offset} ROWS" if offset else ""
        return f"{text}{skip} FETCH FIRST {rows} ROWS ONLY" if rows else text


def statement(text: str, parameters: Sequence[Any] | None = None) -> Statement:
    """Read a query and put values in place of its question marks.

    :param parameters: values, in the order of the question marks; never names of columns or sources.
    :raises OACQueryError: if it is not one SELECT that names its columns, or the values do not fit. The error says
        that nothing was sent.
    """
    tokens = _tokens(text)
    bound, values = _bound(tokens, parameters)
    columns, at = _columns(bound, _tokens(bound))
    for place, addition in reversed(at):
        bound = f"{bound[:place]} {addition}{bound[place:]}"
    tokens = _tokens(bound)
    texts = [token.text[1:-1].replace("''", "'") for token in tokens if token.kind == "text"]
    return Statement(bound, columns, _sources(bound, tokens), (*texts, *values), tokens)


def literal(value: Any) -> str:
    """A value as Logical SQL writes it.

    :raises OACQueryError: for a type that it has no literal for.
    """
    if value is None:
        return "NULL"
    if isinstance(value, str) and "\0" not in value:
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float | Decimal) and math.isfinite(value):
        return format(Decimal(repr(value)) if isinstance(value, float) else value, "f")
    if isinstance(value, datetime) and value.tzinfo is None:
        return f"TIMESTAMP '{value.isoformat(' ')}'"
    if isinstance(value, date) and not isinstance(value, datetime):
        return f"DATE '{value.isoformat()}'"
    if isinstance(value, time) and value.tzinfo is None:
        return f"TIME '{value.isoformat()}'"
    zone = "a time with a zone" if isinstance(value, datetime | time) else f"of the type {type(value).__name__}"
    raise refusal(
        "bind a value",
        f"it is {zone}, which Logical SQL cannot write",
        "Pass a text, a whole or finite number, a date, a time without zone, or None.",
    )


def _tokens(text: str) -> tuple[Token, ...]:
    """What counts, and that it is one statement."""
    found: list[Token] = []
    depth = 0
    for match in _TOKEN.finditer(text):
        kind, part = str(match.lastgroup), match.group()
        if kind in ("space", "comment"):
            continue
        if part in ("'", '"'):
            raise refusal("query OAC", "a quote in the query does not end", "Double a quote inside of a text.")
        depth -= part == ")"
        found.append(Token(kind, part, match.start(), match.end(), depth))
        depth += part == "("
        if depth < 0:
            break
    while found and found[-1].text == ";":
        found.pop()
    if depth:
        raise refusal("query OAC", "the parentheses of the query do not match", "Correct the query.")
    if any(token.text == ";" for token in found):
        raise refusal("query OAC", "there are two statements or more", "Send each statement by itself.")
    if not found or found[0].word not in ("SELECT", "WITH"):
        first = f"it begins with {found[0].text[:20]}" if found else "it is empty"
        raise refusal("query OAC", f"the query is not a SELECT: {first}", "Write one SELECT. No other one is allowed.")
    return tuple(found)


def _bound(tokens: tuple[Token, ...], parameters: Sequence[Any] | None) -> tuple[str, list[str]]:
    """The text with values, without comments, and the values as texts."""
    if isinstance(parameters, str | bytes | Mapping):
        raise refusal("bind values", f"they are {type(parameters).__name__}", "Pass a list, in the order of the ?.")
    values = list(parameters or ())
    marks = sum(token.text == "?" for token in tokens)
    if marks != len(values):
        step = "Give each ? one value. Text in quotes holds no ?."
        raise refusal("bind values", f"the query has {marks} question marks, and {len(values)} values came", step)
    parts, place, rest = [], 0, iter(values)
    for token in tokens:
        # A comment is a blank to all readers.
        parts.append(" " if token.begin > place else "")
        parts.append(literal(next(rest)) if token.text == "?" else token.text)
        place = token.end
    return "".join(parts), [str(value) for value in values]


def _columns(text: str, tokens: tuple[Token, ...]) -> tuple[tuple[Column, ...], list[tuple[int, str]]]:
    """The columns, and the aliases that must be added, each with its place."""
    begin = next((place for place, token in enumerate(tokens) if token.word == "SELECT" and token.depth == 0), None)
    if begin is None:
        raise refusal("query OAC", "WITH is not followed by a SELECT", "Correct the query.")
    items: list[list[Token]] = [[]]
    for token in tokens[begin + 1 :]:
        if token.depth == 0 and token.word == "FROM":
            break
        if token.depth == 0 and token.text == ",":
            items.append([])
        elif items[0] or token.word not in ("DISTINCT", "ALL"):
            items[-1].append(token)
    columns, added = [], []
    taken = {token.text.strip('"').casefold() for token in tokens}
    for number, item in enumerate(items, 1):
        if not item:
            raise refusal("query OAC", "a column of the query is empty", "Correct the list after SELECT.")
        if item[-1].text == "*" and (len(item) == 1 or item[-2].text == "."):
            raise refusal("query OAC", "the query has SELECT *", "Name the columns: OAC does not tell their order.")
        alias = _alias(item)
        ends = item[-1] if alias is None else item[-3 if item[-2].word == "AS" else -2]
        expression = text[item[0].begin : ends.end]
        if alias is not None:
            columns.append(Column(alias, alias, expression))
            continue
        # The result has only names, and one without alias is the expression as OAC writes it (observed).
        key = f"c{number}"
        while key in taken:
            key = f"oac_{key}"
        columns.append(Column(ends.text.strip('"') if _is_path(item) else expression, key, expression))
        added.append((ends.end, key))
    keys = [column.key.casefold() for column in columns]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise refusal("query OAC", f"two columns have the alias {twice}, and OAC returns one of them", "Rename one.")
    return tuple(columns), added


def _alias(item: Sequence[Token]) -> str | None:
    if len(item) < 2 or item[-1].kind not in ("word", "name") or item[-1].word in _NO_ALIAS:
        return None
    before = item[-2]
    ends = before.kind in ("text", "name", "number") or before.text == ")"
    if before.word == "AS" or ends or (before.kind == "word" and before.word not in _OPENING):
        return item[-1].text[1:-1].replace('""', '"') if item[-1].kind == "name" else item[-1].text
    return None


def _is_path(item: Sequence[Token]) -> bool:
    """Whether an expression is the name of a column and nothing else."""
    plain = all(token.kind in ("name", "text") or token.word in ("XSA", ".", "(", ")") for token in item)
    return item[-1].kind in ("name", "word") and (plain or len(item) == 1)


def _sources(text: str, tokens: tuple[Token, ...]) -> tuple[str, ...]:
    """What FROM names; that of EXTRACT(YEAR FROM …) is another one."""
    found: list[str] = []
    depths: set[int] = set()
    for place, token in enumerate(tokens[:-1]):
        following = tokens[place + 1]
        if token.text == ")":
            depths -= {depth for depth in depths if depth > token.depth}
        elif token.word == "SELECT":
            depths.add(token.depth)
        elif token.word == "FROM" and token.depth in depths and following.text != "(":
            end = following
            if following.word == "XSA":
                later = tokens[place + 2 :]
                end = next((one for one in later if one.text == ")" and one.depth == following.depth), following)
            found.append(text[following.begin : end.end])
    return tuple(dict.fromkeys(found))


def check_names(columns: Sequence[Column], doing: str) -> None:
    """Refuse columns of one name, where the name is all that tells them apart.

    :raises OACQueryError: naming it.
    """
    names = [column.name for column in columns]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise refusal(doing, f"two columns are called {twice}", "Give each column an alias.")
