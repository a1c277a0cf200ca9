"""Sensor for a snapshot, or for a recent one of a series."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from airflow_provider_oac import lazy
from airflow_provider_oac.arguments import DEFAULT_FOLDER, EMPTY, CatalogPath, Template, path_text
from airflow_provider_oac.sensors.base import OACWatchingSensor
from airflow_provider_oac.triggers.oac import OACSnapshotTrigger


class OACSnapshotSensor(OACWatchingSensor):
    """Waits until a snapshot exists, or until the newest of a series is recent enough.

    Give either ``snapshot_id`` or ``snapshot_name``; or ``max_age`` with ``snapshot_label`` and ``bucket``. The second
    form, with a short ``timeout``, fails when backups have stopped. ``timeout``, ``soft_fail``, ``never_fail`` and
    ``silent_fail`` mean the same in the triggerer as in a worker. OAC may list a snapshot before its work is done
    (not documented), so a listed snapshot may be incomplete.

    :param snapshot_id: id of the snapshot.
    :param snapshot_name: its exact name.
    :param max_age: maximum age of this instance's newest snapshot, by the time in its name.
    :param snapshot_label: the series, as given to ``OACCreateSnapshotOperator``.
    :param bucket: its bucket.
    :param folder: its folder in the bucket.
    :param region: OCI region of the bucket, if it is not the instance's.
    :param namespace: Object Storage namespace of the bucket, if it is in another tenancy.
    :param oac_conn_id: the Airflow Connection of the type ``oac``.
    :param deferrable: whether to wait in the triggerer; by default Airflow's ``[operators] default_deferrable``.
        If not, ``mode`` decides.
    """

    snapshot_id: Template[str | None] = None
    snapshot_name: Template[str | None] = None
    max_age: timedelta | None = None
    snapshot_label: Template[str | None] = None
    bucket: Template[str | None] = None
    folder: Template[Annotated[CatalogPath, EMPTY]] = DEFAULT_FOLDER
    region: Template[str | None] = None
    namespace: Template[str | None] = None

    watched_by = OACSnapshotTrigger

    def wanted(self) -> lazy.catalog_watch.WantedSnapshot:
        """The snapshot or the series to wait for."""
        if self.max_age is None:
            return lazy.catalog_watch.WantedSnapshot(self.snapshot_id, self.snapshot_name)
        return lazy.catalog_watch.WantedSnapshot(
            self.snapshot_id,
            self.snapshot_name,
            self.max_age.total_seconds(),
            self.snapshot_label or "",
            lazy.oac.OACHook(self.oac_conn_id).settings.instance,
            self.bucket or "",
            path_text(self.folder),
            self.region,
            self.namespace,
        )
