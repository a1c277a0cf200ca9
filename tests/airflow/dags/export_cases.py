"""DAGs for the tests of exports in a real Airflow: workers that get killed while they download."""

from __future__ import annotations

import os
import signal
from datetime import datetime, timedelta
from pathlib import Path

try:
    from airflow.sdk import DAG
except ImportError:
    from airflow.models.dag import DAG

from airflow_provider_oac.operators.workbooks import OACExportWorkbookOperator


def die_while_writing(context):
    """On the first try, kill this process and its supervisor when the bytes are there but not the file."""
    if context["ti"].try_number > 1:
        return
    from airflow_provider_oac.hooks.object_storage import ObjectStorageSink

    write = ObjectStorageSink.write

    def write_and_die(self, data):
        write(self, data)
        self._file.flush()
        folder = Path(self._destination.path).parent
        # Not logged: what is still on its way to the log dies, too.
        Path(f"{folder}-seen").write_text("\n".join(path.name for path in folder.iterdir()))
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    ObjectStorageSink.write = write_and_die


class KilledWhileDownloading(OACExportWorkbookOperator):
    """Its first try is killed while it writes the file."""

    def execute(self, context):
        die_while_writing(context)
        return super().execute(context)

    def execute_complete(self, context, event):
        die_while_writing(context)
        return super().execute_complete(context, event)


for mode, deferrable in {"blocking": False, "deferred": True}.items():
    with DAG(f"case_export_killed_{mode}", schedule=None, start_date=datetime(2024, 1, 1)):
        KilledWhileDownloading(
            task_id="export",
            oac_conn_id="oac_export",
            workbook_path="/@Catalog/shared/Sales/Pipeline",
            destination=f"{{{{ var.value.oac_export_folder }}}}/killed-{mode}/",
            deferrable=deferrable,
            retries=2,
            retry_delay=timedelta(seconds=1),
        )
