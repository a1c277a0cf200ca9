"""OAC's semantic model and datasets for Airflow's operators and sensors for SQL (the package ``common.sql``)."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

from airflow.providers.common.sql.hooks.sql import DbApiHook

from airflow_provider_oac.assets import openlineage_dataset, source_uri
from airflow_provider_oac.client.sql import dbapi
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.hooks.form import field_behaviour, form_widgets
from airflow_provider_oac.hooks.oac import OACHook

# Long queries are normal, and OAC sends nothing meanwhile.
QUERY_TIMEOUT = 600.0

# What SQLColumnCheckOperator and SQLTableCheckOperator make of checks: queries within queries, joined by UNION ALL,
# with aliases that cannot be made of a name in quotes.
_CHECKS = {
    "col_name, check_type": re.compile(
        r"SELECT '(?P<name>.+?)' AS col_name, '(?P<check>\w+)' AS check_type, (?P=name)_(?P=check) AS check_result\s+"
        r"FROM \(SELECT (?P<what>.+?) AS (?P=name)_(?P=check) FROM (?P<source>.+?)\) AS sq\s*(?:UNION ALL|$)",
        re.DOTALL,
    ),
    "check_name": re.compile(
        r"SELECT '(?P<name>.+?)' AS check_name, MIN\((?P=name)\) AS check_result\s+"
        r"FROM \(SELECT (?P<what>CASE WHEN .+? THEN 1 ELSE 0 END) AS (?P=name)\s+FROM (?P<source>.+?)\) AS sq\s*"
        r"(?:UNION ALL|$)",
        re.DOTALL,
    ),
}
_CHECK_QUERY = re.compile(
    r"SELECT (col_name, check_type|check_name), check_result FROM \((.*)\) AS check_\w+", re.DOTALL
)


class OACSqlHook(DbApiHook):
    """Queries subject areas and datasets by Logical SQL. Airflow makes it of a Connection of the type ``oac``, for
    ``SQLExecuteQueryOperator``, ``SQLColumnCheckOperator``, ``SqlSensor``, ``GenericTransfer`` and the like.

    It only reads. Question marks in a query take the values of ``parameters``. The arguments below are those of
    ``hook_params`` in such operators; others are ignored, since they get the extra of the Connection as well.

    :param oac_conn_id: the Airflow Connection of the type ``oac``.
    :param max_rows: most rows of a query, which are held in memory; more are an error.
    :param allow_truncated: whether the first rows are worth having if there are more.
    :param query_timeout: seconds that OAC may take for a query; at most 900.
    :param log_sql: whether queries and their values are logged.
    """

    conn_name_attr = "oac_conn_id"
    default_conn_name = "oac_default"
    conn_type = "oac"
    hook_name = "Oracle Analytics Cloud"
    strip_semicolon = True
    _placeholder = "?"

    def __init__(
        self,
        oac_conn_id: str = default_conn_name,
        *,
        max_rows: int | str = 10_000,
        allow_truncated: bool = False,
        query_timeout: float | str = QUERY_TIMEOUT,
        log_sql: bool = False,
        **_others: Any,
    ) -> None:
        super().__init__(oac_conn_id, log_sql=log_sql)
        if not isinstance(allow_truncated, bool):
            raise OACConfigurationError(f"allow_truncated must be True or False, but is {allow_truncated!r}.")
        try:
            self._options: dict[str, Any] = {"max_rows": int(max_rows), "allow_truncated": allow_truncated}
            self._query_timeout = float(query_timeout)
        except (TypeError, ValueError):
            raise OACConfigurationError(
                "max_rows must be a whole number, and query_timeout a number of seconds. They are "
                f"{max_rows!r} and {query_timeout!r}."
            ) from None
        self._sources: dict[str, None] = {}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Fields of the Connection form for Airflow 2.11 and 3.1."""
        return form_widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Labels of the Connection form for Airflow 2.11 and 3.1."""
        return field_behaviour()

    @cached_property
    def oac(self) -> OACHook:
        """The hook for everything else that OAC can do."""
        return OACHook(self.get_conn_id(), read_timeout=self._query_timeout)

    def get_conn(self) -> dbapi.Connection:
        """A connection of Python's interface to databases (PEP 249)."""
        return dbapi.connect(self.oac.run, **self._options)

    def get_records(self, sql: Any, parameters: Any = None) -> Any:
        """Run a query and return its rows. Checks of columns and tables become one simple query each.

        :param sql: the query, or several.
        :param parameters: values for its question marks.
        """
        found = _CHECK_QUERY.fullmatch(sql.strip()) if isinstance(sql, str) else None
        checks = list(_CHECKS[found[1]].finditer(found[2])) if found else []
        if not found or _CHECKS[found[1]].sub("", found[2]).strip():
            return super().get_records(sql, parameters)
        rows = []
        for check in checks:
            results = super().get_records(f"SELECT {check['what']} check_result FROM {check['source']}")  # noqa: S608
            # A check of a table may be one of each row.
            result = min((row[0] for row in results), default=None) if found[1] == "check_name" else results[0][0]
            rows.append((check["name"], *([check["check"]] if "check" in check.groupdict() else []), result))
        return rows

    def test_connection(self) -> tuple[bool, str]:  # type: ignore[override]
        """Sign in and ask OAC what the user may do; called by Airflow."""
        return self.oac.test_connection()

    def get_openlineage_database_specific_lineage(self, task_instance: Any) -> Any:
        """What OpenLineage's provider asks for when a task succeeded: the sources of its queries."""
        # An optional package, which is there when it calls this.
        from airflow.providers.openlineage.extractors import OperatorLineage

        address = self.oac.settings.address
        inputs = [openlineage_dataset(source_uri(address, source)) for source in self._sources]
        return OperatorLineage(inputs=inputs)

    def _run_command(self, cur: Any, sql_statement: Any, parameters: Any) -> None:
        super()._run_command(cur, sql_statement, parameters)
        self._sources |= dict.fromkeys(cur.sources)
