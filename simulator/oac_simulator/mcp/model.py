"""The semantic model for queries: one subject area and three datasets.

Names and rows are the simulator's own. The attributes of columns follow the observed result of `describe_data`.
"""

from __future__ import annotations

from dataclasses import dataclass

#: The aggregation rules of measures.
RULES = ("SUM", "COUNT", "AVG", "MIN", "MAX")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a source.

    :param table: presentation table, or table of the dataset.
    :param name: name of the column.
    :param type: `VARCHAR`, `NUMERIC`, `DATE` or `TIMESTAMP`.
    :param rule: aggregation rule of a measure; empty for an attribute.
    :param nullable: whether the column has NULLs.
    """

    table: str
    name: str
    type: str = "VARCHAR"
    rule: str = ""
    nullable: bool = False

    @property
    def stored(self) -> str:
        """The column's name in SQLite, where a source is one wide table."""
        return f"{self.table}.{self.name}"


@dataclass(frozen=True, slots=True)
class Source:
    """A source that FROM can name.

    :param reference: the name in queries and `describe_data`: a subject area, or `XSA('owner'.'dataset')`.
    :param type: type in the catalog.
    :param plain: plain ID in the catalog.
    :param columns: the columns, in the order of `describe_data`.
    """

    reference: str
    type: str
    plain: str
    columns: tuple[Column, ...]

    @property
    def written(self) -> str:
        """The reference in queries, where the name of a subject area is quoted."""
        return f'"{self.reference}"' if self.type == "subjectAreas" else self.reference

    @property
    def tables(self) -> list[str]:
        """The names of the source's tables."""
        return list(dict.fromkeys(column.table for column in self.columns))

    def column(self, table: str, name: str) -> Column | None:
        """Return a column by table and name."""
        return next((column for column in self.columns if (column.table, column.name) == (table, name)), None)


def dataset(plain: str) -> str:
    """Return the reference of a dataset from its plain ID (documented)."""
    return f"XSA({plain})"


SALES = Source(
    "Sales History", "subjectAreas", "'admin'.'Sales History'",
    (
        Column("Time", "Day", "DATE"),
        Column("Time", "Month"),
        Column("Products", "Product"),
        Column("Products", "Category"),
        Column("Customers", "Customer"),
        Column("Customers", "Region", nullable=True),
        Column("Orders", "Order Number", "NUMERIC"),
        Column("Orders", "Status"),
        Column("Orders", "Shipped At", "TIMESTAMP", nullable=True),
        Column("Facts", "Revenue", "NUMERIC", "SUM"),
        Column("Facts", "Quantity", "NUMERIC", "SUM"),
        Column("Facts", "Discount", "NUMERIC", "SUM", nullable=True),
        Column("Facts", "Unit Price", "NUMERIC", "AVG"),
        Column("Facts", "Lowest Price", "NUMERIC", "MIN"),
        Column("Facts", "Highest Price", "NUMERIC", "MAX"),
        Column("Facts", "Orders", "NUMERIC", "COUNT"),
    ),
)  # fmt: skip
ORDERS = Source(
    dataset("'admin'.'Orders'"), "datasets", "'admin'.'Orders'",
    (
        Column("ORDERS", "Order ID", "NUMERIC"),
        Column("ORDERS", "Ordered At", "TIMESTAMP"),
        Column("ORDERS", "Customer", nullable=True),
        Column("ORDERS", "Status"),
        Column("ORDERS", "Amount", "NUMERIC", "SUM", nullable=True),
        Column("ORDERS", "Quantity", "NUMERIC", "SUM"),
    ),
)  # fmt: skip
BUDGET = Source(
    dataset("'admin'.'Budget Lines'"), "datasets", "'admin'.'Budget Lines'",
    (
        Column("BUDGET_LINES", "Line", "NUMERIC"),
        Column("BUDGET_LINES", "Month", "DATE"),
        Column("COST_CENTRES", "Cost Centre"),
        Column("COST_CENTRES", "Manager", nullable=True),
        Column("BUDGET_LINES", "Planned", "NUMERIC", "SUM"),
    ),
)  # fmt: skip
#: Non-ASCII names and values, to test for the wrong character set.
TARGETS = Source(
    dataset("'admin'.'Targets'"), "datasets", "'admin'.'Targets'",
    (
        Column("Ziele", "Khu vực"),
        Column("Ziele", "Größe", "NUMERIC", "SUM"),
    ),
)  # fmt: skip
SOURCES = (SALES, ORDERS, BUDGET, TARGETS)
