"""Sensor for fresh data in a subject area or dataset."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow_provider_oac import lazy
from airflow_provider_oac.arguments import Template
from airflow_provider_oac.sensors.base import OACWatchingSensor
from airflow_provider_oac.triggers.oac import OACFreshnessTrigger


class OACFreshnessSensor(OACWatchingSensor):
    """Waits until the newest date that a query returns is recent enough, such as today.

    The result (XCom) is the date, in ISO 8601. ``timeout``, ``soft_fail``, ``never_fail`` and ``silent_fail`` mean the
    same in the triggerer as in a worker. Each poll runs the query.

    :param sql: a query of Logical SQL that returns one row, whose first column is a date or a time, such as
        ``SELECT MAX("Sales"."Time"."Day") d FROM "Sales"``; or a file ``….sql``.
    :param parameters: a list of values for the question marks of the query.
    :param max_age: maximum age of the date.
    :param timezone: the time zone of the source, such as ``Europe/Berlin``: OAC's dates have none.
    :param oac_conn_id: the Airflow Connection of the type ``oac``.
    :param deferrable: whether to wait in the triggerer; by default Airflow's ``[operators] default_deferrable``.
        If not, ``mode`` decides.
    """

    template_ext = (".sql",)

    sql: Template[str]
    max_age: timedelta
    parameters: Template[Any] = None
    timezone: Template[str] = "UTC"

    watched_by = OACFreshnessTrigger

    def result(self, item: Any) -> Any:
        """The date in ISO 8601."""
        return item.isoformat()

    def wanted(self) -> lazy.sql.FreshData:
        """The query and the maximum age."""
        text = lazy.sql.read_statement(self.sql, self.parameters).text
        return lazy.sql.FreshData(text, self.max_age.total_seconds(), self.timezone)
