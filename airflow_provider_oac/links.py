"""Links in Airflow's web UI.

An operator pushes each address to XCom as soon as it is known, under the key that Airflow 3 reads, so the link works
while the task still waits. A link without an address has no XCom.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import BaseOperatorLink, is_airflow_2, xcom_value


class OACInstanceLink(BaseOperatorLink):
    """The instance that a task works on."""

    name = "Oracle Analytics Cloud"
    # Airflow 3 reads the finished link under this key. It is a property there; a plain attribute serves both versions.
    xcom_key = "oac_instance_url"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The address, for Airflow 2.11; empty until it is known."""
        return str(xcom_value(ti_key, self.xcom_key) or "")


# The XCom that describes a task's work request: ``work_request_id``, ``oac_conn_id``, ``address``.
WORK_REQUEST = "oac_work_request"


class OACWorkRequestLink(OACInstanceLink):
    """The work request that a task waits for.

    In Airflow 3 the link leads to a page of Airflow's UI, which asks OAC for the state. Airflow 2.11 has no such page:
    there it leads to the work request in OAC's REST API, which requires a token.
    """

    name = "OAC work request"
    xcom_key = "oac_work_request_url"


class OACWorkbookLink(OACInstanceLink):
    """The workbook that a task exports."""

    name = "OAC workbook"
    xcom_key = "oac_workbook_url"


INSTANCE_LINKS: tuple[BaseOperatorLink, ...] = (OACInstanceLink(),)
WORK_LINKS: tuple[BaseOperatorLink, ...] = (*INSTANCE_LINKS, OACWorkRequestLink())


def push_instance_link(ti: Any, address: str) -> None:
    """Push the link to the instance.

    :param ti: the task instance.
    :param address: address of the instance.
    """
    ti.xcom_push(key=OACInstanceLink.xcom_key, value=f"{address}/ui/")


def push_work_link(ti: Any, work_request_id: str, oac_conn_id: str, address: str) -> None:
    """Push the link to a work request, and its facts for programs.

    :param ti: the task instance.
    :param address: address of the instance.
    """
    known = {"work_request_id": work_request_id, "oac_conn_id": oac_conn_id, "address": address}
    ti.xcom_push(key=WORK_REQUEST, value=known)
    rest = f"{address}{lazy.calls.API_BASE}/workRequests/{lazy.calls.segment(work_request_id)}"
    ti.xcom_push(key=OACWorkRequestLink.xcom_key, value=rest if is_airflow_2() else work_request_page(ti))


def workbook_url(address: str, path: str) -> str:
    """Address of a workbook in OAC's own pages (observed in links that people share).

    :param address: address of the instance.
    :param path: the workbook's path in the catalog.
    """
    whole = path if path.startswith("/@Catalog/") else f"/@Catalog/{path.lstrip('/')}"
    return f"{address}/ui/dv/?pageid=visualAnalyzer&reportmode=full&reportpath={quote(whole, safe='')}"


def work_request_page(of: Any) -> str:
    """Address of the page that shows the work request of a task, below the base address of Airflow's UI.

    :param of: a task instance or its key.
    """
    names = ("dag_id", "run_id", "task_id", "map_index")
    return f"oac/work?{urlencode({name: getattr(of, name) for name in names})}"
