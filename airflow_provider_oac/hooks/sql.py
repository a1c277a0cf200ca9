"""The hook with which Airflow's SQL operators and sensors (the package ``common.sql``) query OAC."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

from airflow.providers.common.sql.hooks.sql import DbApiHook

from airflow_provider_oac._compat import report_lineage
from airflow_provider_oac.assets import openlineage_dataset, source_uri
from airflow_provider_oac.client.sql import dbapi
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.hooks.form import field_behaviour, form_widgets
from airflow_provider_oac.hooks.oac import OACHook

# The SQL that SQLColumnCheckOperator and SQLTableCheckOperator build from checks: nested queries joined by UNION ALL,
# with aliases that break if the column's name is quoted.
_CHECK = re.compile(
    r"SELECT '(?P<name>.+?)' AS \w+_name, (?:'(?P<type>\w+)' AS check_type, )?"
    r"(?:MIN\()?(?P<alias>(?P=name)(?:_(?P=type))?)\)? AS check_result\s+"
    r"FROM \(SELECT (?P<what>.+?) AS (?P=alias)\s+FROM (?P<source>.+?)\) AS sq\s*(?:UNION ALL|$)",
    re.DOTALL,
)
_CHECKS = re.compile(r"SELECT (?:col_name, check_type|check_name), check_result FROM \((.*)\) AS check_\w+", re.DOTALL)


class OACSqlHook(DbApiHook):
    """Queries subject areas and datasets with Logical SQL; it only reads.

    Airflow creates this hook for a Connection of the type ``oac``, in ``SQLExecuteQueryOperator``,
    ``SQLColumnCheckOperator``, ``SqlSensor``, ``GenericTransfer`` and similar operators. The values of ``parameters``
    replace the question marks in a query. Pass the arguments below in an operator's ``hook_params``. Other arguments
    are ignored, because the extra of the Connection is passed as well.

    :param oac_conn_id: the Airflow Connection of the type ``oac``.
    :param max_rows: maximum number of rows of a query; they are held in memory. More rows are an error.
    :param allow_truncated: whether to return the first rows, instead of raising an error, if there are more.
    :param query_timeout: seconds that OAC may take for a query, during which it sends nothing; at most 900.
    :param log_sql: whether to log queries and their values.
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
        query_timeout: float | str = 600.0,
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

    # The Connection form for Airflow 2.11 and 3.1.
    get_connection_form_widgets = staticmethod(form_widgets)
    get_ui_field_behaviour = staticmethod(field_behaviour)

    @cached_property
    def oac(self) -> OACHook:
        """The hook for OAC's other operations."""
        return OACHook(self.get_conn_id(), read_timeout=self._query_timeout)

    def get_conn(self) -> dbapi.Connection:
        """Return a connection of Python's database API (PEP 249)."""
        return dbapi.connect(self.oac.run, **self._options)

    def get_records(self, sql: Any, parameters: Any = None) -> Any:
        """Run a query and return its rows. Each check of a column or table becomes one simple query.

        :param sql: the query, or several.
        :param parameters: values for its question marks.
        """
        found = _CHECKS.fullmatch(sql.strip()) if isinstance(sql, str) else None
        if not found or _CHECK.sub("", found[1]).strip():
            return super().get_records(sql, parameters)
        rows = []
        for check in _CHECK.finditer(found[1]):
            results = super().get_records(f"SELECT {check['what']} check_result FROM {check['source']}")  # noqa: S608
            named = [name for name in check.group("name", "type") if name]
            # A table check may return one result per row; the minimum shows whether all passed.
            rows.append((*named, min((row[0] for row in results), default=None)))
        return rows

    def test_connection(self) -> tuple[bool, str]:  # type: ignore[override]
        """Sign in and ask OAC what the user may do. Airflow calls this."""
        return self.oac.test_connection()

    def get_openlineage_database_specific_lineage(self, task_instance: Any) -> Any:
        """Return the sources of a task's queries. OpenLineage's provider calls this when the task has succeeded."""
        # An optional package. It calls this method, so it is installed.
        from airflow.providers.openlineage.extractors import OperatorLineage

        address = self.oac.settings.address
        inputs = [openlineage_dataset(source_uri(address, source)) for source in self._sources]
        return OperatorLineage(inputs=inputs)

    def _run_command(self, cur: Any, sql_statement: Any, parameters: Any) -> None:
        super()._run_command(cur, sql_statement, parameters)
        self._sources |= dict.fromkeys(cur.sources)
        for source in cur.sources:
            report_lineage("input", self, source_uri(self.oac.settings.address, source))
