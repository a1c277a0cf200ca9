"""Parse one SELECT of Logical SQL as far as needed: its columns, its sources, and the positions of its clauses.

OAC has no query parameters and returns no metadata with a result. So this module writes values into the text as
literals, gives every column an alias, and makes pages by changing the text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, NamedTuple

from airflow_provider_oac.client.sql.errors import SOURCE, Doing

_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<comment>--[^\n]*|/\*.*?\*/)|(?P<text>'(?:[^']|'')*')|(?P<name>\"(?:[^\"]|\"\")*\")"
    r"|(?P<word>[^\W\d]\w*)|(?P<number>\d[\d.]*(?:[eE][+-]?\d+)?)|(?P<sign>.)",
    re.DOTALL,
)
# The name of a column with its qualifiers; the source after FROM, but not the FROM in EXTRACT(YEAR FROM …).
_PATH = re.compile(r"""(?:(?:XSA\([^()]*\)|"[^"]*"|\w+)\.)*("[^"]*"|\w+)""")
_SOURCE = re.compile(r"""\bFROM\s+(XSA\s*\([^()]*\)|"[^"]*"(?!\s*\.)|\w+(?!\s*\.))""", re.IGNORECASE)
# No expression ends with these words, so the next word is not an alias.
_OPENING = frozenset({
    "AND", "OR", "NOT", "IS", "IN", "LIKE", "BETWEEN", "CASE", "WHEN", "THEN", "ELSE", "USING", "AS", "BY", "FROM",
    "DISTINCT", "ALL", "SELECT",
})  # fmt: skip
_NO_ALIAS = frozenset({"END", "NULL", "ASC", "DESC"})
_QUERY, _BIND = Doing("query OAC"), Doing("bind values to the query")
_SETS = ("UNION", "INTERSECT", "EXCEPT", "MINUS")


class Token(NamedTuple):
    """A token of the text.

    :param depth: number of parentheses around it.
    """

    kind: str
    text: str
    begin: int
    end: int
    depth: int

    @property
    def word(self) -> str:
        """A keyword, an unquoted name or a sign, in upper case; empty for quoted names and texts."""
        return "" if self.kind in ("text", "name") else self.text.upper()


class Column(NamedTuple):
    """A column of the result.

    :param name: its name for people.
    :param key: its name in OAC's result.
    :param expression: its expression.
    """

    name: str
    key: str
    expression: str


@dataclass(frozen=True)
class Statement:
    """A statement that is ready to be sent.

    :param text: the statement without comments, with an alias for every column.
    :param columns: its columns, in order.
    :param sources: the names after FROM, as written.
    :param values: the texts in it, which must not appear in any message.
    """

    text: str
    columns: tuple[Column, ...]
    sources: tuple[str, ...]
    values: tuple[str, ...]
    _tokens: tuple[Token, ...]

    @property
    def doing(self) -> Doing:
        """The action of running it, for messages."""
        return Doing(f"query {', '.join(self.sources) or 'OAC'}", self.values, SOURCE)

    def clause(self, name: str) -> Token | None:
        """Find the word at the outermost level that begins a clause or joins queries."""
        return next((token for token in self._tokens if token.depth == 0 and token.word == name), None)

    def page(self, rows: int, *, offset: int = 0, key: Column | None = None, condition: str = "") -> str:
        """Return the text of the query for one page.

        :param rows: most rows of the page.
        :param offset: number of rows to skip.
        :param key: the column to order by, if the query has no ORDER BY.
        :param condition: a condition on the key, such as ``> 7``.
        :raises OACQueryError: if the query has a limit, has neither ORDER BY nor a key, or has a key together with
            ORDER BY or a set operator.
        """
        others = ("OFFSET", "FETCH", *(("ORDER", *_SETS) if key else ()))
        if found := next((name for name in others if self.clause(name)), None):
            raise self.doing.unsent(f"a query with {found} cannot be read in pages", f"Leave {found} out.")
        text = self.text
        if key is None and self.clause("ORDER") is None:
            step = "Add ORDER BY with columns that identify each row, or set the key to the column that does."
            raise self.doing.unsent("pages of a query without ORDER BY may repeat or lose rows", step)
        if key is not None:
            if condition:
                text = self._where(f"{key.expression} {condition}")
            text = f"{text} ORDER BY {self.columns.index(key) + 1}"
        return f"{text}{f' OFFSET {offset} ROWS' if offset else ''} FETCH FIRST {rows} ROWS ONLY"

    def _where(self, condition: str) -> str:
        """Return the text with one more condition."""
        end = next((token.begin for name in ("GROUP", "HAVING") if (token := self.clause(name))), len(self.text))
        where = self.clause("WHERE")
        if where is None:
            return f"{self.text[:end]} WHERE {condition} {self.text[end:]}"
        return f"{self.text[: where.end]} ({self.text[where.end : end]}) AND {condition} {self.text[end:]}"


def read_statement(text: str, parameters: Sequence[Any] | None = None) -> Statement:
    """Parse a query, and replace its question marks by values.

    :param parameters: values, in the order of the question marks; never names of columns or sources.
    :raises OACQueryError: if it is not one SELECT that names its columns, or the values do not fit. The error says that
        nothing was sent.
    """
    bound, values = _bound(_tokens(text), parameters)
    bound, columns = _with_aliases(bound, _tokens(bound))
    tokens = _tokens(bound)
    texts = [token.text[1:-1].replace("''", "'") for token in tokens if token.kind == "text"]
    return Statement(bound, columns, tuple(dict.fromkeys(_SOURCE.findall(bound))), (*texts, *values), tokens)


def literal(value: Any) -> str:
    """Format a value as a literal of Logical SQL.

    :raises OACQueryError: for a type that has no literal.
    """
    if value is None:
        return "NULL"
    if isinstance(value, str) and "\0" not in value:
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool) and math.isfinite(value):
        return format(Decimal(str(value)), "f")
    zone = getattr(value, "tzinfo", None)
    for kind, word in ((datetime, "TIMESTAMP"), (date, "DATE"), (time, "TIME")):
        if isinstance(value, kind) and zone is None:
            return f"{word} '{str(value).replace('T', ' ')}'"
    what = "a time with a zone" if zone else f"of the type {type(value).__name__}"
    step = "Pass a text, a finite number, a date, a time without zone, or None."
    raise _BIND.unsent(f"one is {what}, for which Logical SQL has no literal", step)


def _tokens(text: str) -> tuple[Token, ...]:
    """Split the text into tokens without blanks and comments, and check that it is one SELECT."""
    found: list[Token] = []
    depth = 0
    for match in _TOKEN.finditer(text):
        kind, part = str(match.lastgroup), match.group()
        if kind in ("space", "comment"):
            continue
        if part in ("'", '"'):
            raise _QUERY.unsent("a quote in the query is not closed", "Double a quote inside a text.")
        depth -= part == ")"
        found.append(Token(kind, part, match.start(), match.end(), depth))
        depth += part == "("
        if depth < 0:
            break
    while found and found[-1].text == ";":
        found.pop()
    if depth:
        raise _QUERY.unsent("the parentheses of the query do not match", "Correct the query.")
    if any(token.text == ";" for token in found):
        raise _QUERY.unsent("the text has several statements", "Send each statement alone.")
    if not found or found[0].word not in ("SELECT", "WITH"):
        first = f"it begins with {found[0].text[:20]}" if found else "it is empty"
        raise _QUERY.unsent(f"the query is not a SELECT: {first}", "Write one SELECT.")
    return tuple(found)


def _bound(tokens: tuple[Token, ...], parameters: Sequence[Any] | None) -> tuple[str, list[str]]:
    """Return the text with values and without comments, and the values as texts."""
    if isinstance(parameters, str | bytes | Mapping):
        raise _BIND.unsent(f"they are {type(parameters).__name__}", "Pass a list, in the order of the ?.")
    values = list(parameters or ())
    marks = sum(token.text == "?" for token in tokens)
    if marks != len(values):
        step = "Pass one value for each ? outside of quotes."
        raise _BIND.unsent(f"the query has {marks} question marks, but {len(values)} values are given", step)
    parts, place, rest = [], 0, iter(values)
    for token in tokens:
        # A comment counts as a blank. Blanks separate a value from its neighbors.
        parts += [" "] if token.begin > place else []
        parts += [f" {literal(next(rest))} " if token.text == "?" else token.text]
        place = token.end
    return "".join(parts), [str(value) for value in values]


def _with_aliases(text: str, tokens: tuple[Token, ...]) -> tuple[str, tuple[Column, ...]]:
    """Give every column an alias; return the text and the columns."""
    begin = next((place for place, token in enumerate(tokens) if token.word == "SELECT" and token.depth == 0), None)
    if begin is None:
        raise _QUERY.unsent("WITH is not followed by a SELECT", "Correct the query.")
    items: list[list[Token]] = [[]]
    for token in tokens[begin + 1 :]:
        if token.depth == 0 and token.word == "FROM":
            break
        if token.depth == 0 and token.text == ",":
            items.append([])
        elif items[0] or token.word not in ("DISTINCT", "ALL"):
            items[-1].append(token)
    columns, parts, place = [], [], 0
    taken = {token.text.strip('"').casefold() for token in tokens}
    for number, item in enumerate(items, 1):
        if not item:
            raise _QUERY.unsent("a column of the query is empty", "Correct the list after SELECT.")
        if item[-1].text == "*" and (len(item) == 1 or item[-2].text == "."):
            raise _QUERY.unsent("the query has SELECT *, for which OAC returns no column order", "Name the columns.")
        name = key = _alias(item)
        end = (item[-1] if key is None else item[-3 if item[-2].word == "AS" else -2]).end
        expression = text[item[0].begin : end]
        if key is None:
            # A result has only names, and for a column without alias OAC returns its own spelling of the expression
            # (observed).
            path = _PATH.fullmatch(expression)
            name, key = path[1].strip('"') if path else expression, f"c{number}"
            while key in taken:
                key = f"oac_{key}"
            parts += [text[place:end], f" {key}"]
            place = end
        columns.append(Column(str(name), key, expression))
    keys = [column.key.casefold() for column in columns]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise _QUERY.unsent(f"two columns have the alias {twice}, of which OAC returns only one", "Rename one.")
    return "".join([*parts, text[place:]]), tuple(columns)


def _alias(item: Sequence[Token]) -> str | None:
    """Return the alias at the end of a column, if the token before it can end an expression."""
    before, last = item[-2:] if len(item) > 1 else (item[0], item[0])
    ends = before.kind in ("text", "name", "number") or before.text == ")" or before.word == "AS"
    ends = ends or (before.kind == "word" and before.word not in _OPENING)
    if len(item) < 2 or not ends or last.kind not in ("word", "name") or last.word in _NO_ALIAS:
        return None
    return last.text[1:-1].replace('""', '"') if last.kind == "name" else last.text
