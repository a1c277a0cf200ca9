"""From nodes to a query of SQLite: columns, measures and their rules, implicit grouping.

A measure is aggregated by its own rule before anything else happens to it, and what surrounds it does not change that:
`AVG(measure)` is not an average (observed). Where SQLite's answer could differ from OAC's, the query is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from oac_simulator.mcp.model import Column, Source
from oac_simulator.mcp.sql_errors import Unsupported, syntax, unresolved
from oac_simulator.mcp.sql_parser import Node, Select, Statement, parse

#: Kinds of values that can be compared with each other; None is NULL.
_TYPES = {"VARCHAR": "text", "NUMERIC": "number", "DATE": "date", "TIMESTAMP": "date"}
_DATE_PARTS = {
    "YEAR": "CAST(substr({0}, 1, 4) AS INTEGER)",
    "MONTH": "CAST(substr({0}, 6, 2) AS INTEGER)",
    "QUARTER_OF_YEAR": "(CAST(substr({0}, 6, 2) AS INTEGER) + 2) / 3",
}
#: What finds the source of a reference, and refuses what this user may not read.
Finder = Callable[[str], Source]


@dataclass(frozen=True, slots=True)
class Value:
    """A translated expression.

    :param sql: for SQLite.
    :param type: `number`, `text`, `date`, `truth`; None for NULL.
    :param level: `constant`, `row` (attributes) or `group` (measures and aggregates).
    """

    sql: str
    type: str | None
    level: str = "constant"


@dataclass(frozen=True, slots=True)
class Query:
    """What SQLite is asked; `keys` name the columns of the result, in order."""

    sql: str
    keys: tuple[str, ...]
    types: tuple[str | None, ...]


def translate(text: str, find: Finder) -> Query:
    """Translate a query.

    :param text: Logical SQL.
    :param find: gives the source of a reference.
    :raises QueryError: if OAC would refuse it, or the simulator has to.
    """
    return _statement(parse(text), find)


def _statement(statement: Statement, find: Finder) -> Query:
    made = [_select(select, find) for select in statement.selects]
    first = made[0]
    for other in made[1:]:
        if len(other.types) != len(first.types) or any(
            None not in pair and pair[0] != pair[1] for pair in zip(first.types, other.types, strict=True)
        ):
            raise Unsupported("UNION ALL of columns that differ in number or type")
    types = tuple(
        next((kind for kind in column if kind), None) for column in zip(*(q.types for q in made), strict=True)
    )
    sql = first.sql if len(made) == 1 else " UNION ALL ".join(f"SELECT * FROM ({query.sql})" for query in made)  # noqa: S608
    if statement.order:
        sql += " ORDER BY " + ", ".join(
            f"{_ordinal(key, first.keys)}{' DESC' if down else ''}" for key, down in statement.order
        )
    if statement.fetch is not None or statement.offset is not None:
        sql += f" LIMIT {-1 if statement.fetch is None else statement.fetch} OFFSET {statement.offset or 0}"
    return Query(sql, first.keys, types)


def _ordinal(key: str | int, keys: tuple[str, ...]) -> int:
    if isinstance(key, str):
        if key not in keys:
            raise unresolved(key)
        return keys.index(key) + 1
    if key > len(keys):
        raise syntax(str(key))
    return key


def _select(select: Select, find: Finder) -> Query:
    if isinstance(select.source, Statement):
        inner = _statement(select.source, find)
        columns = {
            key: Value(f'"#{number}"', kind, "row")
            for number, (key, kind) in enumerate(zip(inner.keys, inner.types, strict=True))
        }
        scope, stored = _Scope(None, columns, select.name), f"({inner.sql})"
    else:
        source = find(select.source)
        scope, stored = _Scope(source, {}, ""), f'"{source.reference}"'
    values = [scope.value(node) for node, _ in select.items]
    keys = tuple(key for _, key in select.items)
    shown = ", ".join(f'{value.sql} AS "#{number}"' for number, value in enumerate(values))
    sql = f"SELECT {'DISTINCT ' if select.distinct else ''}{shown} FROM {stored}"  # noqa: S608 - translated, not pasted
    if select.where is not None:
        where = scope.truth(select.where)
        if where.level == "group":
            raise Unsupported("a filter on a measure in WHERE")
        sql += f" WHERE {where.sql}"
    grouping = _grouping(select, scope, values)
    if grouping:
        sql += f" GROUP BY {', '.join(grouping)}"
    if select.having is not None:
        sql += f" HAVING {_having(select, select.having, values)}"
    return Query(sql, keys, tuple(value.type for value in values))


def _grouping(select: Select, scope: _Scope, values: list[Value]) -> list[str]:
    """What is grouped by: the attributes that are selected, unless GROUP BY says it.

    Attributes alone are one row for each combination, as the dimensions of a model are (inferred); the rows of a query
    in parentheses stay as they are.
    """
    rows = list(dict.fromkeys(value.sql for value in values if value.level == "row"))
    grouped = any(value.level == "group" for value in values)
    if select.group is None:
        if grouped:
            return rows
        return (rows or ["NULL"]) if scope.source is not None else []
    given = []
    for node in select.group:
        if node.kind == "number" and node.value.isdigit():
            number = int(node.value)
            if not 0 < number <= len(values):
                raise syntax(node.value)
            value = values[number - 1]
        else:
            value = scope.value(node)
        if value.level == "group":
            raise Unsupported("GROUP BY of a measure")
        if value.level == "row":
            given.append(value.sql)
    if not set(rows) <= set(given):
        raise Unsupported("a selected attribute that GROUP BY does not name")
    return given


def _having(select: Select, having: Node, values: list[Value]) -> str:
    if not any(value.level == "group" for value in values):
        raise Unsupported("HAVING without a measure")
    aliases = {key: value for (_, key), value in zip(select.items, values, strict=True)}
    return _Scope(None, aliases, "", "HAVING on anything but aliases").truth(having).sql


def quoted(text: str) -> str:
    """A text as a literal of SQLite."""
    if "\0" in text:
        raise syntax("\\0")
    return "'" + text.replace("'", "''") + "'"


class _Scope:
    """What names mean in one SELECT.

    :param source: the source; None for a query in parentheses, or for HAVING.
    :param names: what is known by one name.
    :param name: the name of the query in parentheses.
    :param only: what to call anything but such names; empty if it is allowed.
    """

    def __init__(self, source: Source | None, names: Mapping[str, Value], name: str, only: str = "") -> None:
        self.source, self._names, self._name, self._only = source, names, name, only

    # --------------------------------------------------------------------------------------------- names

    def _model_column(self, node: Node) -> Column | None:
        """The column of the model behind a node, if it is one."""
        if node.kind != "column":
            return None
        parts = [part.value for part in node.parts]
        written = ".".join(parts)
        if self.source is None:
            return None
        if len(parts) != 3:
            raise Unsupported(f"a column in {len(parts)} parts ({written})")
        column = self.source.column(parts[1], parts[2]) if parts[0] == self.source.reference else None
        if column is None:
            raise unresolved(written)
        return column

    def _measure(self, node: Node) -> Column | None:
        column = self._model_column(node)
        return column if column and column.rule else None

    def _holds_measure(self, node: Node) -> bool:
        return self._measure(node) is not None or any(self._holds_measure(part) for part in node.parts)

    def _named(self, node: Node) -> Value:
        parts = [part.value for part in node.parts] if node.kind == "column" else [node.value]
        if len(parts) == 2 and self._name and parts[0].casefold() == self._name.casefold():
            parts = parts[1:]
        if len(parts) != 1 or parts[0] not in self._names:
            if self._only:
                raise Unsupported(self._only)
            raise unresolved(".".join(parts))
        return self._names[parts[0]]

    # ------------------------------------------------------------------------------------------- values

    def truth(self, node: Node) -> Value:
        """A condition.

        :raises QueryError: if it is none.
        """
        value = self._any(node)
        if value.type != "truth":
            raise syntax("a value where a condition is needed")
        return value

    def value(self, node: Node) -> Value:
        """An expression that has a value.

        :raises QueryError: if it is a condition, or wrong in itself.
        """
        value = self._any(node)
        if value.type == "truth":
            raise syntax("a condition where a value is needed")
        return value

    def _any(self, node: Node) -> Value:
        make: Callable[[Node], Value] = getattr(self, f"_{node.kind}")
        return make(node)

    def _level(self, *values: Value) -> str:
        levels = {value.level for value in values} - {"constant"}
        if len(levels) > 1:
            raise Unsupported("an attribute and a measure in one expression")
        return levels.pop() if levels else "constant"

    def _alike(self, *values: Value) -> str | None:
        """The type that values share, since SQLite compares what OAC's sources would refuse or convert."""
        kinds = {value.type for value in values} - {None}
        if len(kinds) > 1:
            raise Unsupported(f"{' and '.join(sorted(str(kind) for kind in kinds))} in one expression")
        return kinds.pop() if kinds else None

    def _typed(self, node: Node, kind: str) -> Value:
        value = self.value(node)
        if value.type not in (kind, None):
            raise Unsupported(f"a {value.type} where a {kind} is needed")
        return value

    def _number(self, node: Node) -> Value:
        return Value(node.value, "number")

    def _text(self, node: Node) -> Value:
        return Value(quoted(node.value), "text")

    def _date(self, node: Node) -> Value:
        return Value(quoted(node.value), "date")

    def _null(self, node: Node) -> Value:
        return Value("NULL", None)

    def _alias(self, node: Node) -> Value:
        return self._named(node)

    def _column(self, node: Node) -> Value:
        column = self._model_column(node)
        if column is None:
            return self._named(node)
        stored = f'"{column.stored}"'
        if column.rule:
            return Value(f"{column.rule}({stored})", "number", "group")
        return Value(stored, _TYPES[column.type], "row")

    def _override(self, node: Node) -> Value:
        raise Unsupported("OVERRIDEAGGR outside an aggregate")

    def _aggregate(self, node: Node) -> Value:
        if not node.parts:
            return Value("COUNT(*)", "number", "group")
        [inner] = node.parts
        distinct = "DISTINCT " if node.flag else ""
        if inner.kind == "override":
            measure = self._measure(inner.parts[0])
            if measure is None:
                raise Unsupported("OVERRIDEAGGR of anything but a measure")
            return Value(f'{node.value}({distinct}"{measure.stored}")', "number", "group")
        measure = self._measure(inner)
        if measure is not None:
            if node.value == "COUNT" or node.flag:
                raise Unsupported(f"{node.value} of a measure without OVERRIDEAGGR")
            # The trap: the measure's own rule decides, and not the aggregate around it (observed).
            return self._column(inner)
        if self._holds_measure(inner):
            raise Unsupported("an aggregate of an expression with a measure")
        value = self._typed(inner, "number") if node.value in ("SUM", "AVG") else self.value(inner)
        if value.level == "group":
            raise Unsupported("an aggregate in an aggregate")
        kind = value.type if node.value in ("MIN", "MAX") else "number"
        return Value(f"{node.value}({distinct}{value.sql})", kind, "group")

    def _filter(self, node: Node) -> Value:
        measure = self._measure(node.parts[0])
        if measure is None:
            raise Unsupported("FILTER of anything but a measure")
        condition = self.truth(node.parts[1])
        if condition.level == "group":
            raise Unsupported("FILTER by a measure")
        return Value(f'{measure.rule}(CASE WHEN {condition.sql} THEN "{measure.stored}" END)', "number", "group")

    def _call(self, node: Node) -> Value:
        if node.value == "IFNULL":
            values = [self.value(part) for part in node.parts]
            return Value(f"IFNULL({values[0].sql}, {values[1].sql})", self._alike(*values), self._level(*values))
        if node.value in _DATE_PARTS:
            value = self._typed(node.parts[0], "date")
            return Value(_DATE_PARTS[node.value].format(value.sql), "number", value.level)
        value = self._typed(node.parts[0], "text")
        return Value(f"{node.value}({value.sql})", "text", value.level)

    def _cast(self, node: Node) -> Value:
        value = self.value(node.parts[0])
        kind, _, length = node.value.partition("(")
        wanted = {"INTEGER": "number", "DOUBLE": "number", "VARCHAR": "text"}.get(kind, "date")
        if value.type is None:
            return Value("NULL", wanted)
        if value.type != wanted:
            raise Unsupported(f"CAST of a {value.type} to {node.value}")
        if length:
            return Value(f"substr({value.sql}, 1, {length[:-1]})", wanted, value.level)
        if kind == "DATE":
            return Value(f"substr({value.sql}, 1, 10) || ' 00:00:00.0'", wanted, value.level)
        sql = {"INTEGER": f"CAST({value.sql} AS INTEGER)", "DOUBLE": f"CAST({value.sql} AS REAL)"}.get(kind, value.sql)
        return Value(sql, wanted, value.level)

    def _case(self, node: Node) -> Value:
        *pairs, last = node.parts
        whens, thens = [self.truth(part) for part in pairs[::2]], [self.value(part) for part in pairs[1::2]]
        otherwise = self.value(last)
        branches = " ".join(f"WHEN {when.sql} THEN {then.sql}" for when, then in zip(whens, thens, strict=True))
        return Value(
            f"CASE {branches} ELSE {otherwise.sql} END",
            self._alike(*thens, otherwise),
            self._level(*whens, *thens, otherwise),
        )

    def _arithmetic(self, node: Node) -> Value:
        left, right = (self._typed(part, "number") for part in node.parts)
        level = self._level(left, right)
        if node.value == "/":
            return Value(f"oac_divide({left.sql}, {right.sql})", "number", level)
        return Value(f"({left.sql} {node.value} {right.sql})", "number", level)

    def _negative(self, node: Node) -> Value:
        value = self._typed(node.parts[0], "number")
        return Value(f"(- {value.sql})", "number", value.level)

    # --------------------------------------------------------------------------------------- conditions

    def _compare(self, node: Node) -> Value:
        left, right = (self.value(part) for part in node.parts)
        self._alike(left, right)
        return Value(f"({left.sql} {node.value} {right.sql})", "truth", self._level(left, right))

    def _logic(self, node: Node) -> Value:
        left, right = (self.truth(part) for part in node.parts)
        return Value(f"({left.sql} {node.value} {right.sql})", "truth", self._level(left, right))

    def _not(self, node: Node) -> Value:
        value = self.truth(node.parts[0])
        return Value(f"(NOT {value.sql})", "truth", value.level)

    def _between(self, node: Node) -> Value:
        values = [self.value(part) for part in node.parts]
        self._alike(*values)
        what, low, high = (value.sql for value in values)
        word = "NOT BETWEEN" if node.flag else "BETWEEN"
        return Value(f"({what} {word} {low} AND {high})", "truth", self._level(*values))

    def _in(self, node: Node) -> Value:
        what, *others = values = [self.value(part) for part in node.parts]
        self._alike(*values)
        word = "NOT IN" if node.flag else "IN"
        return Value(f"({what.sql} {word} ({', '.join(v.sql for v in others)}))", "truth", self._level(*values))

    def _like(self, node: Node) -> Value:
        values = [self._typed(part, "text") for part in node.parts]
        word = "NOT LIKE" if node.flag else "LIKE"
        return Value(f"({values[0].sql} {word} {values[1].sql})", "truth", self._level(*values))

    def _null_test(self, node: Node) -> Value:
        value = self.value(node.parts[0])
        return Value(f"({value.sql} IS {'NOT ' if node.flag else ''}NULL)", "truth", value.level)
