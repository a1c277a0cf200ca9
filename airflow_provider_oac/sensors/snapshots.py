"""Looking after snapshots: is it there, and is the newest one young enough?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Unpack

from airflow_provider_oac._compat import BaseSensorOperator
from airflow_provider_oac.arguments import EMPTY, CatalogPath, path_text
from airflow_provider_oac.defaults import DEFAULT_FOLDER
from airflow_provider_oac.exceptions import OACConfigurationError, OACError
from airflow_provider_oac.tasks import CheckedOperator, SensorArguments

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Context
    from airflow_provider_oac.client.snapshots import Snapshot
    from airflow_provider_oac.hooks.oac import OACHook


class OACSnapshotSensor(CheckedOperator, BaseSensorOperator):
    """Waits until a snapshot exists, or until the newest of a series is young enough.

    Give either ``snapshot_id`` or ``snapshot_name``; or ``max_age`` with ``snapshot_label`` and ``bucket``. The second
    form, with a short ``timeout``, fails when backups have stopped. OAC may list a snapshot before its work is done
    (not documented): being listed does not prove that it is complete.

    :param snapshot_id: id of the snapshot.
    :param snapshot_name: its exact name.
    :param max_age: how old the newest own snapshot may be, by the time in its name.
    :param snapshot_label: the series, as given to ``OACCreateSnapshotOperator``.
    :param bucket: its bucket.
    :param folder: its folder in the bucket.
    :param region: OCI region of the bucket, if it is not the instance's.
    :param namespace: Object Storage namespace of the bucket, if it is in another tenancy.
    :param oac_conn_id: the Airflow Connection of the type ``oac``.
    """

    template_fields: Sequence[str] = (
        "oac_conn_id",
        "snapshot_id",
        "snapshot_name",
        "snapshot_label",
        "bucket",
        "folder",
        "region",
        "namespace",
    )

    def __init__(
        self,
        *,
        snapshot_id: str | None = None,
        snapshot_name: str | None = None,
        max_age: timedelta | None = None,
        snapshot_label: str | None = None,
        bucket: str | None = None,
        folder: Annotated[CatalogPath, EMPTY] = DEFAULT_FOLDER,
        region: str | None = None,
        namespace: str | None = None,
        oac_conn_id: str = "oac_default",
        **kwargs: Unpack[SensorArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.snapshot_id = snapshot_id
        self.snapshot_name = snapshot_name
        self.max_age = max_age
        self.snapshot_label = snapshot_label
        self.bucket = bucket
        self.folder = path_text(folder)
        self.region = region
        self.namespace = namespace
        self.oac_conn_id = oac_conn_id

    def poke(self, context: Context) -> bool:
        """Look once. A passing failure of the look itself counts as "not yet"."""
        from airflow_provider_oac.client.snapshots import list_all
        from airflow_provider_oac.client.waiting import passing
        from airflow_provider_oac.hooks.oac import OACHook

        asked = [bool(self.snapshot_id), bool(self.snapshot_name), self.max_age is not None]
        if sum(asked) != 1 or (self.max_age is not None and not (self.snapshot_label and self.bucket)):
            raise OACConfigurationError(
                "Give one of: snapshot_id; snapshot_name; max_age with snapshot_label and bucket."
            )
        hook = OACHook(self.oac_conn_id)
        try:
            listed = hook.run(list_all())
        except OACError as error:
            if not passing(error):
                raise
            self.log.warning("The snapshots could not be listed; trying again: %s", error)
            return False
        if self.max_age is not None:
            return self._fresh(hook, listed, self.max_age)
        wanted = self.snapshot_id or self.snapshot_name
        found = any(
            item.id == self.snapshot_id if self.snapshot_id else item.name == self.snapshot_name for item in listed
        )
        self.log.info("Snapshot %s is %s.", wanted, "listed" if found else "not listed")
        return found

    def _fresh(self, hook: OACHook, listed: list[Snapshot], max_age: timedelta) -> bool:
        from airflow_provider_oac.client.retention import Own
        from airflow_provider_oac.client.snapshots import Storage

        storage = Storage(self.bucket or "", self.region, self.namespace)
        own = Own.checked(self.snapshot_label or "", hook.settings.instance, self.folder, storage)
        now = datetime.now(UTC)
        # A clock that was wrong once must not make a series look fresh until that time has come.
        names = [name for item in listed if (name := own.name_of(item)) and name.time <= now]
        if not names:
            self.log.warning(
                "OAC lists no snapshot of the series %s of %s in bucket %s, folder %s yet. Compare label, bucket and "
                "folder with the task that creates them, and check the Connection's instance.",
                self.snapshot_label, own.instance, self.bucket, self.folder,
            )  # fmt: skip
            return False
        newest = max(names, key=lambda name: name.time)
        age = now - newest.time
        self.log.info(
            "The newest snapshot of %s is %s, %s old (at most %s).", self.snapshot_label, newest, age, max_age
        )
        return age <= max_age
