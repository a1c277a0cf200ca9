"""A task's process, for a test that measures it: ``python -m tests.integration.exporting_task <url>``.

It loads what a task loads and nothing of the tests. At its end it prints, as JSON, by how many MiB its peak memory grew
above what every task of a DAG with this operator has loaded, and the result.
"""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any


class _TaskInstance(SimpleNamespace):
    def xcom_push(self, key: str, value: Any) -> None:
        """Take no notice."""


def _peak_mib() -> float:
    """Of this very process: getrusage would count what its parent had when it was started."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024


def _export(url: str) -> tuple[float, Any]:
    from airflow_provider_oac.operators.workbooks import OACExportWorkbookOperator

    operator = OACExportWorkbookOperator(
        task_id="export", workbook_path="/@Catalog/shared/Sales/Pipeline", destination=url, poll_interval=0.1
    )
    names = {"dag_id": "d", "run_id": "r", "task_id": "export"}
    ti = _TaskInstance(**names, map_index=-1, try_number=1, max_tries=2)
    before = _peak_mib()
    result = operator.execute({"ti": ti})  # type: ignore[arg-type]
    return _peak_mib() - before, result


if __name__ == "__main__":
    print(json.dumps(_export(sys.argv[1])))
