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

# What SQLColumnCheckOperator and SQLTableCheckOperator make of checks: queries within queries, joined by UNION ALL,
# with aliases that cannot be made of a name in quotes.
_CHECK = re.compile(
    r"SELECT '(?P<name>.+?)' AS \w+_name, (?:'(?P<type>\w+)' AS check_type, )?"
    r"(?:MIN\()?(?P<alias>(?P=name)(?:_(?P=type))?)\)? AS check_result\s+"
    r"FROM \(SELECT (?P<what>.+?) AS (?P=alias)\s+FROM (?P<source>.+?)\) AS sq\s*(?:UNION ALL|$)",
    re.DOTALL,
)
_CHECKS = re.compile(r"SELECT (?:col_name, check_type|check_name), check_result FROM \((.*)\) AS check_\w+", re.DOTALL)


class OACSqlHook(DbApiHook):
    """Queries subject areas and datasets by Logical SQL. Airflow makes it of a Connection of the type ``oac``, for
    ``SQLExecuteQueryOperator``, ``SQLColumnCheckOperator``, ``SqlSensor``, ``GenericTransfer`` and the like.

    It only reads. Question marks in a query take the values of ``parameters``. The arguments below are those of
    ``hook_params`` in such operators; others are ignored, since they get the extra of the Connection as well.

    :param oac_conn_id: the Airflow Connection of the type ``oac``.
    :param max_rows: most rows of a query, which are held in memory; more are an error.
    :param allow_truncated: whether the first rows are worth having if there are more.
    :param query_timeout: seconds that OAC may take for a query, of which it sends nothing meanwhile; at most 900.
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
        found = _CHECKS.fullmatch(sql.strip()) if isinstance(sql, str) else None
        if not found or _CHECK.sub("", found[1]).strip():
            return super().get_records(sql, parameters)
        rows = []
        for check in _CHECK.finditer(found[1]):
            results = super().get_records(f"SELECT {check['what']} check_result FROM {check['source']}")  # noqa: S608
            named = [name for name in check.group("name", "type") if name]
            # A check of a table may be one of each row.
            rows.append((*named, min((row[0] for row in results), default=None)))
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
