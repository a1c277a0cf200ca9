"""Where operators write files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_oac import lazy
from airflow_provider_oac.exceptions import OACConfigurationError

if TYPE_CHECKING:
    from airflow_provider_oac.hooks.object_storage import ObjectStorageSink
    from airflow_provider_oac.operators.task_state import TaskKey


def sink_of(url: str, conn_id: str | None, me: TaskKey) -> ObjectStorageSink:
    """A file in any store, whole or not at all; what earlier tries of the task left behind is put away.

    :param url: of the file.
    :param conn_id: the Airflow Connection of the store, if the URL names none.
    :param me: the task that writes.
    :raises OACConfigurationError: for a folder.
    """
    if url.endswith("/"):
        raise OACConfigurationError(
            f"The destination {url!r} ends in /, as a folder does. Give the name of the file. Nothing was sent."
        )
    # The same after a Clear, so that what was left behind before it is found, too.
    mark = lazy.snapshot_names.task_mark(me.dag_id, me.run_id, me.task_id, me.map_index, 0)
    return lazy.object_storage.ObjectStorageSink(lazy.object_storage.Destination(url, conn_id), mark, me.try_number)
