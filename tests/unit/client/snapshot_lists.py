"""Lists of snapshots as OAC would answer them, for tests of what is decided over them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_oac.client.flows.retention import SnapshotSeries
from airflow_provider_oac.client.rest.snapshots import Snapshot, Storage
from airflow_provider_oac.client.snapshot_names import SnapshotName
from airflow_provider_oac.transport.io import Response
from tests.manual import response

NOW = datetime(2026, 11, 23, 20, 0, 0, tzinfo=UTC)
FOLDER, BUCKET, RUN = "oac-snapshots", "backups", "feedbeef"
OWN = SnapshotSeries("nightly", "prod", FOLDER, Storage(BUCKET))


def named(
    age: timedelta | float = 0.0, *, label: str = "nightly", instance: str = "prod", mark: str = ""
) -> SnapshotName:
    """A name of ours, of this age (in days, if a number)."""
    time = NOW - (age if isinstance(age, timedelta) else timedelta(days=age))
    return SnapshotName(label, instance, time.replace(microsecond=0), "oac_seal", mark or "0" * 20)


def snapshot(name: SnapshotName | str, **changes: Any) -> Snapshot:
    """It as it is listed. Its id is its name unless it is given."""
    uri = name.uri(FOLDER) if isinstance(name, SnapshotName) else f"file:///{FOLDER}/prod/{name}.bar"
    fields: dict[str, Any] = {
        "id": f"id of {name}", "name": str(name), "created": "2026-11-23T20:00:00.000Z", "created_by": "admin",
        "bar_uri": uri, "bucket": BUCKET, "region": None, "namespace": None, "raw": {},
    }  # fmt: skip
    return Snapshot(**{**fields, **changes})


def item(shown: Snapshot) -> dict[str, Any]:
    """It as JSON."""
    named = {"bucket": shown.bucket, "bucketOciRegion": shown.region, "bucketOciNamespace": shown.namespace}
    storage = {member: value for member, value in named.items() if value is not None}
    return {
        "id": shown.id, "name": shown.name, "createdByUser": shown.created_by, "timeCreated": shown.created,
        "bar": {"uri": shown.bar_uri}, "storage": {"type": "OCI_NATIVE", **storage},
    }  # fmt: skip


def listing(*shown: Snapshot | SnapshotName | str) -> Response:
    """OAC's list of these snapshots."""
    items = [item(one if isinstance(one, Snapshot) else snapshot(one)) for one in shown]
    return response(200, json.dumps({"items": items}))
