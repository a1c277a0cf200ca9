"""A single-pass translator from a subset of Logical SQL to SQLite.

OAC aggregates a measure by its own rule first, and an aggregate function around it has no effect: `AVG(measure)` is not
an average (observed). A query groups by the selected attributes. The translator refuses queries for which SQLite's
result could differ from OAC's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from oac_simulator.mcp.model import Column, Source
from oac_simulator.mcp.sql_errors import QueryError, Unsupported, syntax, unresolved
from oac_simulator.mcp.sql_tokens import Tokens

T = TypeVar("T")
_TYPES = {"VARCHAR": "text", "NUMERIC": "number", "DATE": "date", "TIMESTAMP": "date"}
_CAST_TYPES = {"INTEGER": "number", "DOUBLE": "number", "VARCHAR": "text", "DATE": "date", "TIMESTAMP": "date"}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d+)?)?")
_AGGREGATES = ("SUM", "COUNT", "AVG", "MIN", "MAX")
_DATE_PARTS = {
    "YEAR": "CAST(substr({}, 1, 4) AS INTEGER)",
    "MONTH": "CAST(substr({}, 6, 2) AS INTEGER)",
    "QUARTER_OF_YEAR": "(CAST(substr({}, 6, 2) AS INTEGER) + 2) / 3",
}


@dataclass(frozen=True, slots=True)
class Value:
    """A translated expression.

    :param sql: SQLite expression.
    :param type: `number`, `text`, `date`, `truth`; None for NULL. Different types cannot be compared.
    :param level: empty for a constant, `row` for attributes, `group` for measures and aggregates, `override` for a
        measure in OVERRIDEAGGR.
    :param measure: the measure, if the expression is only a measure.
    """

    sql: str
    type: str | None
    level: str = ""
    measure: Column | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A query for SQLite. `keys` are the column names of the result, `types` are types as in `Value`."""

    sql: str
    keys: tuple[str, ...]
    types: tuple[str | None, ...]


@dataclass(slots=True)
class _Scope:
    """The meaning of names: columns of a source, columns of a subquery, or aliases in HAVING."""

    source: Source | None = None
    names: Mapping[str, Value] = field(default_factory=dict)
    #: The name of the subquery.
    name: str = ""


def translate(text: str, find: Callable[[str], Source]) -> Query:
    """Translate a query.

    :param text: Logical SQL.
    :param find: returns the source for a reference.
    :raises QueryError: if OAC would refuse the query, or the simulator does not support it.
    """
    reader = _Reader(text, find)
    query = reader.statement()
    reader.tokens.take(";")
    if reader.tokens.now.kind != "end":
        raise reader.tokens.wrong()
    return query


class _Reader:
    def __init__(self, text: str, find: Callable[[str], Source]) -> None:
        self.tokens = Tokens(text)
        self._find = find
        self._scope = _Scope()

    # ---------------------------------------------------------------------------------------- statements

    def statement(self) -> Query:
        """Translate SELECTs combined by UNION ALL, with ORDER BY, OFFSET and FETCH."""
        tokens = self.tokens
        query = self._select()
        sql, types = query.sql, query.types
        while tokens.take("UNION"):
            if not tokens.take("ALL"):
                raise Unsupported("UNION without ALL")
            other = self._select()
            if len(other.types) != len(types):
                raise syntax("UNION ALL of different numbers of columns")
            types = tuple(_alike(*pair) for pair in zip(types, other.types, strict=True))
            sql = f"SELECT * FROM ({sql}) UNION ALL SELECT * FROM ({other.sql})"  # noqa: S608 - translated
        if tokens.take("ORDER"):
            tokens.need("BY")
            sql += f" ORDER BY {', '.join(self._list(lambda: self._order(query.keys)))}"
        skipped = 0
        if tokens.take("OFFSET"):
            skipped = tokens.count()
            tokens.need("ROWS")
        kept = -1
        if tokens.take("FETCH"):
            tokens.need("FIRST")
            kept = tokens.count()
            tokens.need("ROWS", "ONLY")
        return Query(f"{sql} LIMIT {kept} OFFSET {skipped}", query.keys, types)

    def _order(self, keys: tuple[str, ...]) -> str:
        """Translate a sort key: an alias or a number, the forms that were observed to work."""
        tokens = self.tokens
        if tokens.now.kind == "number":
            number = tokens.count()
        else:
            key = tokens.next("name")
            if tokens.sees(".", "("):
                raise Unsupported("ORDER BY of anything but an alias or a number")
            if key not in keys:
                raise unresolved(key)
            number = keys.index(key) + 1
        if number > len(keys):
            raise syntax(str(number))
        down = tokens.take("DESC") or (tokens.take("ASC") and False)
        return f"{number} DESC" if down else str(number)

    def _select(self) -> Query:
        tokens, outer = self.tokens, self._scope
        tokens.need("SELECT")
        distinct = tokens.take("DISTINCT")
        begin = tokens.place
        # FROM, which gives names their meaning, comes after the select list.
        tokens.skip_to_from()
        end_of_items = tokens.place
        stored = self._from()
        rest, tokens.place = tokens.place, begin
        if tokens.sees("*"):
            raise Unsupported("SELECT *")
        items = self._list(self._item)
        if tokens.place != end_of_items:
            raise tokens.wrong()
        tokens.place = rest
        values = [value for value, _ in items]
        shown = ", ".join(f'{value.sql} AS "#{number}"' for number, value in enumerate(values))
        sql = f"SELECT {'DISTINCT ' if distinct else ''}{shown} FROM {stored}"  # noqa: S608 - translated
        if tokens.take("WHERE"):
            where = self._truth()
            if where.level == "group":
                raise Unsupported("a filter on a measure in WHERE")
            sql += f" WHERE {where.sql}"
        grouped = self._grouping(values)
        if grouped:
            sql += f" GROUP BY {', '.join(grouped)}"
        if tokens.take("HAVING"):
            if not any(value.level == "group" for value in values):
                raise Unsupported("HAVING without a measure")
            self._scope = _Scope(names={key: value for value, key in items})
            sql += f" HAVING {self._truth().sql}"
        self._scope = outer
        return Query(sql, tuple(key for _, key in items), tuple(value.type for value in values))

    def _from(self) -> str:
        """Translate FROM and set the scope of names."""
        tokens = self.tokens
        tokens.need("FROM")
        if tokens.take("("):
            inner = self.statement()
            tokens.need(")")
            tokens.take("AS")
            names = {
                key: Value(f'"#{number}"', kind, "row")
                for number, (key, kind) in enumerate(zip(inner.keys, inner.types, strict=True))
            }
            self._scope = _Scope(names=names, name=tokens.next("name") if tokens.sees_name() else "")
            stored = f"({inner.sql})"
        elif tokens.now.kind == "text":
            raise QueryError(None, "A dataset is written XSA('owner'.'dataset'); its bare name is no subject area.")
        else:
            source = self._find(self._xsa() if tokens.sees("XSA") else tokens.next("name"))
            self._scope, stored = _Scope(source), f'"{source.reference}"'
        if tokens.sees(","):
            raise Unsupported("several sources in FROM")
        return stored

    def _xsa(self) -> str:
        """Return `XSA('owner'.'dataset')` in the spelling of the model."""
        tokens = self.tokens
        tokens.need("XSA", "(")
        owner = tokens.next("text")
        tokens.need(".")
        name = tokens.next("text")
        tokens.need(")")
        return f"XSA('{owner}'.'{name}')"

    def _item(self) -> tuple[Value, str]:
        """Translate an expression and return its key in the result: the alias, or the expression's text (observed)."""
        begin = self.tokens.place
        value = self._value()
        written = self.tokens.since(begin)
        if self.tokens.take("AS") or self.tokens.sees_name():
            return value, self.tokens.next("name")
        return value, written

    def _grouping(self, values: list[Value]) -> list[str]:
        """Return the grouping: the selected attributes, or the list in GROUP BY.

        Attributes alone give one row per combination (inferred); the rows of a subquery are not grouped.
        """
        rows = list(dict.fromkeys(value.sql for value in values if value.level == "row"))
        if not self.tokens.take("GROUP"):
            if any(value.level == "group" for value in values):
                return rows
            return (rows or ["NULL"]) if self._scope.source else []
        self.tokens.need("BY")
        named = self._list(lambda: self._group(values))
        if any(value.level == "group" for value in named):
            raise Unsupported("GROUP BY of a measure")
        given = [value.sql for value in named if value.level]
        if not set(rows) <= set(given):
            raise Unsupported("a selected attribute that GROUP BY does not name")
        return given or ["NULL"]

    def _group(self, values: list[Value]) -> Value:
        if self.tokens.now.kind != "number":
            return self._value()
        number = self.tokens.count()
        if number > len(values):
            raise syntax(str(number))
        return values[number - 1]

    def _list(self, one: Callable[[], T]) -> list[T]:
        found = [one()]
        while self.tokens.take(","):
            found.append(one())
        return found

    # ---------------------------------------------------------------------------------------- conditions

    def _truth(self) -> Value:
        value = self._condition()
        if value.type != "truth":
            raise syntax("a value where a condition is needed")
        return value

    def _value(self) -> Value:
        value = self._condition()
        if value.type == "truth":
            raise syntax("a condition where a value is needed")
        if value.level == "override":
            raise Unsupported("OVERRIDEAGGR outside an aggregate")
        return value

    def _condition(self) -> Value:
        left = self._conjunction()
        while self.tokens.take("OR"):
            left = _joined("OR", "truth", left, self._conjunction())
        return left

    def _conjunction(self) -> Value:
        left = self._negation()
        while self.tokens.take("AND"):
            left = _joined("AND", "truth", left, self._negation())
        return left

    def _negation(self) -> Value:
        if not self.tokens.take("NOT"):
            return self._comparison()
        value = self._negation()
        return Value(f"(NOT {_typed(value, 'truth').sql})", "truth", value.level)

    def _comparison(self) -> Value:
        tokens, left = self.tokens, self._sum()
        if tokens.sees("=", "<>", "<", ">", "<=", ">="):
            sign = tokens.next("sign")
            return _test(f"{{}} {sign} {{}}", left, self._sum())
        if tokens.take("IS"):
            word = "IS NOT NULL" if tokens.take("NOT") else "IS NULL"
            tokens.need("NULL")
            return _test(f"{{}} {word}", left)
        no = "NOT " if tokens.take("NOT") else ""
        if tokens.take("BETWEEN"):
            low = self._sum()
            tokens.need("AND")
            return _test(f"{{}} {no}BETWEEN {{}} AND {{}}", left, low, self._sum())
        if tokens.take("LIKE"):
            return _test(f"{{}} {no}LIKE {{}}", _typed(left, "text"), _typed(self._sum(), "text"))
        if tokens.take("IN"):
            tokens.need("(")
            if tokens.sees("SELECT"):
                raise Unsupported(f"{no}IN with a query")
            among = self._list(self._sum)
            tokens.need(")")
            return _test(f"{{}} {no}IN ({', '.join(['{}'] * len(among))})", left, *among)
        if no:
            raise tokens.wrong()
        return left

    # --------------------------------------------------------------------------------------- expressions

    def _sum(self) -> Value:
        left = self._product()
        while self.tokens.sees("+", "-"):
            left = _joined(self.tokens.next("sign"), "number", left, self._product())
        return left

    def _product(self) -> Value:
        left = self._factor()
        while self.tokens.sees("*", "/"):
            if self.tokens.next("sign") == "*":
                left = _joined("*", "number", left, self._factor())
                continue
            left, right = _typed(left, "number"), _typed(self._factor(), "number")
            left = Value(f"oac_divide({left.sql}, {right.sql})", "number", _level(left, right))
        return left

    def _factor(self) -> Value:
        tokens = self.tokens
        if tokens.take("-"):
            value = _typed(self._factor(), "number")
            return Value(f"(- {value.sql})", "number", value.level)
        if tokens.take("("):
            if tokens.sees("SELECT"):
                raise Unsupported("a query as a value")
            value = self._condition()
            tokens.need(")")
            return value
        if tokens.now.kind == "number":
            return Value(tokens.next("number"), "number")
        if tokens.now.kind == "text":
            return Value(_quoted(tokens.next("text")), "text")
        if tokens.take("NULL"):
            return Value("NULL", None)
        if tokens.sees("CASE"):
            return self._case()
        word, following = tokens.now.upper, tokens.ahead(1)
        if word in ("DATE", "TIMESTAMP") and following.kind == "text":
            tokens.place += 1
            return _moment(word, tokens.next("text"))
        if word == "XSA" or not (word and following.upper == "("):
            return self._column()
        tokens.place += 2
        value = self._function(word)
        tokens.need(")")
        return value

    def _case(self) -> Value:
        tokens = self.tokens
        tokens.need("CASE")
        operand = None if tokens.sees("WHEN") else self._sum()
        sql, used, results = "CASE", [], []
        while tokens.take("WHEN"):
            used.append(self._truth() if operand is None else _test("{} = {}", operand, self._sum()))
            tokens.need("THEN")
            results.append(self._value())
            sql += f" WHEN {used[-1].sql} THEN {results[-1].sql}"
        if not used:
            raise tokens.wrong()
        if tokens.take("ELSE"):
            results.append(self._value())
            sql += f" ELSE {results[-1].sql}"
        tokens.need("END")
        return Value(f"{sql} END", _alike(*(value.type for value in results)), _level(*used, *results))

    def _function(self, name: str) -> Value:
        """Translate a function's arguments, up to the closing parenthesis."""
        if name in _AGGREGATES:
            return self._aggregate(name)
        if name == "OVERRIDEAGGR":
            measure = self._measure("OVERRIDEAGGR")
            return Value(f'"{measure.stored}"', "number", "override")
        if name == "FILTER":
            measure = self._measure("FILTER")
            self.tokens.need("USING")
            condition = self._truth()
            if condition.level == "group":
                raise Unsupported("FILTER by a measure")
            return Value(f'{measure.rule}(CASE WHEN {condition.sql} THEN "{measure.stored}" END)', "number", "group")
        if name == "CAST":
            return self._cast()
        if name == "IFNULL":
            value = self._value()
            self.tokens.need(",")
            other = self._value()
            return Value(f"IFNULL({value.sql}, {other.sql})", _alike(value.type, other.type), _level(value, other))
        if name in _DATE_PARTS:
            value = _typed(self._value(), "date")
            return Value(_DATE_PARTS[name].format(value.sql), "number", value.level)
        if name in ("UPPER", "LOWER"):
            value = _typed(self._value(), "text")
            return Value(f"{name}({value.sql})", "text", value.level)
        raise Unsupported(f"the function {name}")

    def _measure(self, around: str) -> Column:
        measure = self._value().measure
        if measure is None:
            raise Unsupported(f"{around} of anything but a measure")
        return measure

    def _aggregate(self, name: str) -> Value:
        if name == "COUNT" and self.tokens.take("*"):
            return Value("COUNT(*)", "number", "group")
        distinct = "DISTINCT " if self.tokens.take("DISTINCT") else ""
        value = self._condition()
        if value.measure is not None:
            if name == "COUNT" or distinct:
                raise Unsupported(f"{name} of a measure without OVERRIDEAGGR")
            # The measure's own rule applies, not the aggregate function around it (observed).
            return value
        if value.level == "group":
            raise Unsupported("an aggregate of a measure in an expression, or of an aggregate")
        if name in ("SUM", "AVG") and value.level != "override":
            value = _typed(value, "number")
        kind = value.type if name in ("MIN", "MAX") else "number"
        return Value(f"{name}({distinct}{value.sql})", kind, "group")

    def _cast(self) -> Value:
        """Translate CAST where SQLite and other databases agree. CAST to INTEGER truncates (inferred)."""
        value = self._value()
        self.tokens.need("AS")
        name = self.tokens.next("word").upper()
        kind = _CAST_TYPES.get(name)
        if kind is None or value.type not in (kind, None):
            raise Unsupported(f"CAST of a {value.type} to {name}")
        sql = {
            "INTEGER": "CAST({} AS INTEGER)", "DOUBLE": "CAST({} AS REAL)",
            "DATE": "substr({}, 1, 10) || ' 00:00:00.0'",
        }.get(name, "{}")  # fmt: skip
        if name == "VARCHAR" and self.tokens.take("("):
            sql = f"substr({{}}, 1, {self.tokens.count()})"
            self.tokens.need(")")
        return Value(sql.format(value.sql), kind, value.level)

    def _column(self) -> Value:
        """Translate `"Area"."Table"."Column"`, `XSA(…)."Table"."Column"`, or a name from a subquery or in HAVING."""
        tokens, scope = self.tokens, self._scope
        parts = [self._xsa() if tokens.sees("XSA") else tokens.next("name")]
        while tokens.take("."):
            parts.append(tokens.next("name"))
        written = ".".join(parts)
        if scope.source is None:
            if len(parts) == 2 and parts[0].casefold() == scope.name.casefold():
                del parts[0]
            value = scope.names.get(parts[0]) if len(parts) == 1 else None
            if len(parts) > 2:
                raise Unsupported(f"{written} in HAVING, or around a query in parentheses")
            if value is None:
                raise unresolved(written)
            return value
        if len(parts) == 2:
            raise Unsupported(f"a column in two parts ({written})")
        known = len(parts) == 3 and parts[0] == scope.source.reference
        column = scope.source.column(*parts[1:]) if known else None
        if column is None:
            raise unresolved(written)
        if column.rule:
            return Value(f'{column.rule}("{column.stored}")', "number", "group", column)
        return Value(f'"{column.stored}"', _TYPES[column.type], "row")


# ------------------------------------------------------------------------------------------------- values


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _moment(name: str, text: str) -> Value:
    """Translate a date or time literal to the stored format."""
    if not _MOMENT.fullmatch(text) or (name == "DATE") != (len(text) == 10):
        raise syntax(f"{name} '{text}'")
    full = text if len(text) > 10 else f"{text} 00:00:00"
    return Value(_quoted(full if "." in full else f"{full}.0"), "date")


def _alike(*types: str | None) -> str | None:
    """Return the common type of values. SQLite would compare values that OAC's sources refuse or convert."""
    kinds = set(types) - {None}
    if len(kinds) > 1:
        raise Unsupported(f"{' and '.join(sorted(str(kind) for kind in kinds))} in one expression")
    return kinds.pop() if kinds else None


def _typed(value: Value, kind: str) -> Value:
    if value.type not in (kind, None) or value.level == "override":
        raise Unsupported(f"a {value.level if value.level == 'override' else value.type} where a {kind} is needed")
    return value


def _level(*values: Value) -> str:
    levels = {value.level for value in values} - {""}
    if "override" in levels:
        raise Unsupported("OVERRIDEAGGR in an expression")
    if len(levels) > 1:
        raise Unsupported("an attribute and a measure in one expression")
    return levels.pop() if levels else ""


def _joined(sign: str, kind: str, left: Value, right: Value) -> Value:
    return Value(f"({_typed(left, kind).sql} {sign} {_typed(right, kind).sql})", kind, _level(left, right))


def _test(form: str, *values: Value) -> Value:
    if _alike(*(value.type for value in values)) == "truth":
        raise syntax("a condition where a value is needed")
    return Value(f"({form.format(*(value.sql for value in values))})", "truth", _level(*values))
