"""A task's process, for tests that measure it: ``python -m tests.integration.exporting_task <mode> <url>``.

It loads what a task loads and nothing of the tests. At its end it prints its peak memory and the result as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from types import SimpleNamespace
from typing import Any


class _TaskInstance(SimpleNamespace):
    def xcom_push(self, key: str, value: Any) -> None:
        """Take no notice."""


def _context() -> dict[str, Any]:
    ti = _TaskInstance(
        dag_id="d",
        run_id="r",
        task_id="export",
        map_index=-1,
        try_number=1,
        max_tries=2,
    )
    return {"ti": ti}


def _operator(url: str) -> Any:
    from airflow_provider_oac.operators.workbooks import OACExportWorkbookOperator

    return OACExportWorkbookOperator(
        task_id="export",
        workbook_path="/@Catalog/shared/Sales/Pipeline",
        destination=url,
        poll_interval=0.1,
        deferrable=False,
    )


def _idle(url: str) -> None:
    """What every task of a DAG with this operator has loaded."""
    _operator(url)


def _blocking(url: str) -> Any:
    return _operator(url).execute(_context())


def _asynchronous(url: str) -> Any:
    """The same flow on an event loop, as a trigger would run it."""
    from airflow_provider_oac.client.flows.export import Export, WantedFile, make
    from airflow_provider_oac.client.flows.polling import WaitPlan
    from airflow_provider_oac.client.ids import catalog_id
    from airflow_provider_oac.client.rest import workbooks
    from airflow_provider_oac.hooks.oac import OACHook
    from airflow_provider_oac.hooks.object_storage import Destination, ObjectStorageSink

    workbook = catalog_id("/@Catalog/shared/Sales/Pipeline")
    file = WantedFile("it", url, workbook, "it", workbooks.PDF, 800, 600, exports=(Export(("snapshot!canvas!1",)),))
    flow = make(file, ObjectStorageSink(Destination(url)), WaitPlan(longest_pause=0.1))
    made = asyncio.run(OACHook("oac_default").arun(flow))
    return {"size": made.size, "sha256": made.sha256}


def _peak_kib() -> int:
    """Of this very process: getrusage would count what its parent had when it was started."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


if __name__ == "__main__":
    mode, where = sys.argv[1:]
    result = {"idle": _idle, "blocking": _blocking, "asynchronous": _asynchronous}[mode](where)
    print(json.dumps({"peak_kib": _peak_kib(), "result": result}))
