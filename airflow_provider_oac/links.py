"""Links in Airflow's web UI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_oac._compat import BaseOperatorLink, xcom_value

if TYPE_CHECKING:
    from airflow_provider_oac._compat import BaseOperator


class OACInstanceLink(BaseOperatorLink):
    """The instance that a task works on.

    The operator pushes the address as soon as its work is accepted, under the very key that Airflow 3 reads, so
    that the link is there while the task still waits. Works from that XCom alone.
    """

    name = "Oracle Analytics Cloud"
    # Airflow 3 reads the finished link under this key; a property there, a plain attribute serves both.
    xcom_key = "oac_instance_url"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """The address of the instance, or an empty text as long as nothing was submitted."""
        return str(xcom_value(ti_key, self.xcom_key) or "")
