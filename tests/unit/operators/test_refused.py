"""What people get wrong in the arguments of an operator or a sensor: a clear error, and nothing is sent."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from airflow import DAG

from airflow_provider_oac._compat import AirflowFailException
from airflow_provider_oac.client import ids
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.operators.acl import OACUpdateACLOperator
from airflow_provider_oac.operators.api import OACApiOperator
from airflow_provider_oac.operators.catalog import (
    OACCopyCatalogItemOperator,
    OACCreateFolderOperator,
    OACListCatalogOperator,
    OACMoveCatalogItemOperator,
)
from airflow_provider_oac.operators.connections import OACCreateConnectionOperator, OACUpdateConnectionOperator
from airflow_provider_oac.operators.restore import OACRestoreSnapshotOperator
from airflow_provider_oac.operators.runs import OACReloadDatasetOperator
from airflow_provider_oac.operators.snapshots import OACDeleteSnapshotOperator, OACRegisterSnapshotOperator
from airflow_provider_oac.operators.sql import OACSqlToStorageOperator
from airflow_provider_oac.operators.system import (
    OACMailServerOperator,
    OACSafeDomainsOperator,
    OACSystemSettingsOperator,
)
from airflow_provider_oac.operators.workbooks import OACExportWorkbookOperator, OACExportWorkbooksOperator
from airflow_provider_oac.sensors.catalog import OACCatalogItemSensor
from airflow_provider_oac.sensors.snapshots import OACSnapshotSensor
from tests.tasks import Task

NOWHERE = "https://localhost:1"
CONNECTION = {
    "conn_type": "oac", "host": NOWHERE, "login": "id", "password": "secret",
    "extra": {"grant": "password", "identity_url": NOWHERE, "scope": "s", "user": "u", "user_password": "p"},
}  # fmt: skip
BOOK = "/@Catalog/shared/Sales/Pipeline"
READER = {"account": "jane", "permissions": ["read", "list"]}
SERVER = {
    "host": "smtp.example.com", "port": 587, "sender": {"displayName": "OAC", "emailAddress": "oac@example.com"},
    "connectionSecurity": "START_TLS_CONNECTION_SECURITY",
}  # fmt: skip
ONE_OF = "Give one of: snapshot_id; snapshot_name; max_age with"
NEEDED: dict[Any, dict[str, Any]] = {
    OACUpdateACLOperator: {"catalog_type": "folders", "path": "/@Catalog/shared/Finance", "entries": [READER]},
    OACCopyCatalogItemOperator: {"catalog_type": "workbooks"},
    OACMoveCatalogItemOperator: {"catalog_type": "workbooks"},
    OACExportWorkbookOperator: {"workbook_path": BOOK, "destination": "file:///tmp/x.pdf"},
    OACExportWorkbooksOperator: {"workbooks": [BOOK], "destination": "file:///tmp/out"},
    OACSqlToStorageOperator: {"sql": "SELECT a b FROM c", "destination": "/tmp/x.csv"},
    OACMailServerOperator: {"server": SERVER},
    OACCatalogItemSensor: {"catalog_type": "workbooks", "deferrable": True},
}


def books(*wanted: Any) -> dict[str, Any]:
    return {"workbooks": list(wanted)}


REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    (OACApiOperator, {}, "Give either call"),
    (OACApiOperator, {"call": "system.get", "method": "GET", "path": "/x"}, "Give either call"),
    (OACApiOperator, {"method": "GET"}, "Give either call"),
    (OACApiOperator, {"call": "system.get", "body": {"a": 1}}, "body cannot be combined with call='system.get'"),
    *(
        (OACApiOperator, arguments, "Use OACRestoreSnapshotOperator")
        for arguments in (
            {"call": "system.restore_snapshot", "arguments": {"snapshot_id": "x", "password": "y"}},
            {"method": "POST", "path": "/system/actions/restoreSnapshot", "body": {}},
            {"method": "post", "path": "/system/actions/%72estoresnapshot/"},
            {"method": "POST", "path": "/system%2Factions;a=b/restoreSnapshot"},
            {"method": "POST", "path": "/restoreSnapshot", "base": "/api/20210901/System//actions", "repeatable": True},
        )
    ),
    (OACApiOperator, {"call": "snapshots.register", "arguments": {"name": "x", "bar_uri": "y", "storage": {}}},
     "storage must be of the class Storage, which JSON cannot express. .*use the operator"),
    (OACApiOperator, {"call": "acl.update", "arguments": {"kind": "folders", "item_id": "x", "entries": [{}]}},
     "entries must be of the class Access, which JSON cannot"),
    (OACApiOperator, {"call": "datasets.history", "arguments": {"object_id": "x", "since": "yesterday"}},
     "since must be a time such as 2026-01-31T06:00:00"),
    (OACApiOperator, {"method": "GET", "path": "/x", "arguments": {"a": 1}}, "use query and body"),
    (OACApiOperator, {"call": "system.get", "paged": True}, "does not return pages"),
    (OACApiOperator, {"method": "POST", "path": "/x", "paged": True}, "needs method=.GET."),
    (OACApiOperator, {"method": "GET", "path": "/x", "query": {"page": 1}, "paged": True}, "a query without page"),
    (OACApiOperator, {"method": "POST", "path": "/x", "wait_for_completion": True, "destination": "/x"},
     "cannot be combined with paged, destination or scope"),
    (OACUpdateACLOperator, {"entries": []}, "No account given"),
    (OACUpdateACLOperator, {"entries": [{"account": "x", "permission": ["read"]}]},
     "An entry must be a dictionary with account and optionally account_type, p"),
    (OACUpdateACLOperator, {"entries": [{"account": ""}]}, "must be a dictionary with account"),
    (OACUpdateACLOperator, {"entries": [{"account": "x"}]},
     r"entry for 'x' has permissions=None, but must have a list .*\[\] revokes"),
    (OACUpdateACLOperator, {"entries": [{"account": "x", "permissions": None}], "mode": "ReplaceAll"},
     "has permissions=None"),
    (OACUpdateACLOperator, {"entries": [{"account": "x", "permissions": "read"}]}, "has permissions='read'"),
    (OACUpdateACLOperator, {"entries": [{"account": "x", "permissions": ["reading"]}]},
     "permissions of read, list, write"),
    (OACUpdateACLOperator, {"entries": [READER, READER]}, "appear twice"),
    (OACUpdateACLOperator, {"path": None}, "Give either the id of the item"),
    (OACCreateFolderOperator, {"path": "Sales"}, "no plain id"),
    (OACCreateFolderOperator, {"path": "/Sales"}, "'/Sales' is not a folder path such as"),
    (OACListCatalogOperator, {"recursive": True}, "recursive=True needs a folder"),
    (OACListCatalogOperator, {"destination": "/data/lists/"}, "'/data/lists/' is a folder"),
    *(
        (kind, arguments, says)
        for kind in (OACCopyCatalogItemOperator, OACMoveCatalogItemOperator)
        for arguments, says in (
            ({"path": BOOK}, "No destination given"),
            ({"to_folder_path": "/shared"}, "Give either the id of the item"),
            ({"path": BOOK, "item_id": "x", "new_name": "y"}, "Give either the id of the item"),
            ({"path": BOOK, "new_name": "y", "to_folder_path": "/shared", "to_folder_id": "x"}, "it goes"),
        )
    ),
    (OACExportWorkbookOperator, {"screen_width": 4000}, "not 4000"),
    (OACExportWorkbookOperator, {"file_format": "docx"}, "'pdf' or 'png'"),
    (OACExportWorkbookOperator, {"destination": "file:///tmp/x.png"}, r"must end in \.pdf"),
    (OACExportWorkbookOperator, {"workbook_path": None}, "Give either the id of the workbook"),
    (OACExportWorkbookOperator, {"workbook_id": "x"}, "Give either the id of the workbook"),
    (OACExportWorkbookOperator, {"workbook_path": "shared/x"}, "a path begins with '/'"),
    (OACExportWorkbooksOperator, books(), "workbooks is empty"),
    (OACExportWorkbooksOperator, books({"path": BOOK}), "Unknown field 'path'"),
    (OACExportWorkbooksOperator, books({"workbook_path": BOOK, "workbook_id": "x"}), "Give either the id"),
    (OACExportWorkbooksOperator, books(BOOK, BOOK), r"have the same destination .*Pipeline\.pdf"),
    (OACExportWorkbooksOperator, books(*({"workbook_path": BOOK, "canvases": [name]} for name in "ab")),
     r"have the same destination .*Pipeline\.pdf"),
    (OACExportWorkbooksOperator, books(BOOK, {"workbook_path": "/shared/x", "name": "Pipeline"}),
     r"have the same destination .*Pipeline\.pdf"),
    (OACExportWorkbooksOperator, books({"workbook_path": BOOK, "canvases": 7}),
     "Pipeline: canvases is a list of names or ids"),
    (OACExportWorkbooksOperator, books({"workbook_path": BOOK, "canvases": {"a": 1}}), "is a list of names or ids"),
    (OACExportWorkbooksOperator, books({"workbook_path": BOOK, "canvases": "Canvas 1"}), "or ids, not 'Canvas 1'"),
    (OACExportWorkbooksOperator, {"formats": ["pdf", "gif"]}, "'pdf' or 'png'"),
    (OACExportWorkbooksOperator, {"screen_height": 3601}, "not 3601"),
    (OACReloadDatasetOperator, {"dataset": "Orders"}, "'Orders' is no plain id"),
    (OACReloadDatasetOperator, {"dataset": ids.object_id("a", "b")}, "It looks encoded"),
    (OACReloadDatasetOperator, {"dataset": "'a'.'b'", "dataset_id": "x"}, "either the id of the dataset"),
    (OACReloadDatasetOperator, {}, "either the id of the dataset"),
    (OACSqlToStorageOperator, {"page_key": "id"}, "page_key needs page_rows"),
    (OACSqlToStorageOperator, {"column_types": {"id": "int64"}}, "column_types need file_format='parquet'"),
    (OACSystemSettingsOperator, {}, "Set settings, template_oac_conn_id, or both"),
    (OACSystemSettingsOperator, {"settings": {"A": ["x"]}}, "Setting A must be a text, a number or a boolean"),
    (OACSystemSettingsOperator, {"template_oac_conn_id": "oac_default", "keys": ["None"]}, "one is the text 'None'"),
    (OACMailServerOperator, {"server": {**SERVER, "port": 0}}, "1 to 65535 .documented., not '0'"),
    (OACMailServerOperator, {"server": {"host": "h"}}, "needs port, sender, connectionSecurity"),
    (OACMailServerOperator, {"server": {**SERVER, "connectionSecurity": "TLS"}},
     "connectionSecurityType must be one of NO_CONNECTION.*, not 'TLS'"),
    (OACMailServerOperator, {"server": {**SERVER, "sender": "x@example.com"}}, "server's sender must be an obj"),
    (OACMailServerOperator, {"server": {**SERVER, "auth": {}}}, "server contains 'auth'"),
    (OACMailServerOperator, {"server": {**SERVER, "sender": {"password": "x"}}}, "server contains 'password'"),
    (OACMailServerOperator, {"server": None}, "absent=True"),
    (OACMailServerOperator, {"absent": True}, "absent=True"),
    (OACMailServerOperator, {"mail_conn_id": "short"}, "8 to 255 characters .documented., but it has 5"),
    (OACMailServerOperator, {"mail_conn_id": "half"}, "'half': only one of login and password"),
    (OACSafeDomainsOperator, {"domains": {"https://a.com/path": []}}, "'https://a.com/path' is not a safe domain"),
    (OACSafeDomainsOperator, {"domains": {"a.com": ["img_src"]}}, "have the policies img_src.*connect-src"),
    (OACSafeDomainsOperator, {"domains": {"a.com": {"img-src": "yes"}}}, "a.com cannot have the policies img-src"),
    (OACSafeDomainsOperator, {}, "Set domains, template_oac_conn_id or remove"),
    (OACRegisterSnapshotOperator, {}, r"Give either snapshot \(the result of a backup\) or bar_uri"),
    (OACRegisterSnapshotOperator, {"snapshot": {"name": "x"}}, "A registration needs file and bucket"),
    (OACRegisterSnapshotOperator, {"bar_uri": "folder/name.zip", "bucket": "b"}, "must look like file:///folder/name"),
    (OACRegisterSnapshotOperator, {"bar_uri": "oci://b@ns/x.bar", "bucket": "b"}, "must look like file:///folder/name"),
    (OACDeleteSnapshotOperator, {}, "Give either snapshot_id or snapshot_name"),
    (OACDeleteSnapshotOperator, {"snapshot_id": "1", "snapshot_name": "x"}, "Give either snapshot_id or snapshot_name"),
    (OACSnapshotSensor, {}, ONE_OF),
    (OACSnapshotSensor, {"snapshot_id": "1", "snapshot_name": "x"}, ONE_OF),
    (OACSnapshotSensor, {"max_age": timedelta(1), "snapshot_label": "nightly"}, ONE_OF),
    (OACCatalogItemSensor, {"path": "Pipeline"}, "no plain id of a catalog item"),
    (OACCatalogItemSensor, {"path": BOOK, "modified_since": "yesterday"},
     "modified_since must be an ISO 8601 time .*not 'yesterday'"),
]  # fmt: skip


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Connection that leads nowhere, and two that are no good for a mail server."""
    for conn_id, connection in {
        "OAC_DEFAULT": CONNECTION,
        "SHORT": {"conn_type": "smtp", "login": "a", "password": "12345"},
        "HALF": {"conn_type": "smtp", "login": "a"},
    }.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id}", json.dumps(connection))


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize(
    ("kind", "arguments", "says"), REFUSED, ids=[f"{kind.__name__}-{says[:40]}" for kind, _, says in REFUSED]
)
def test_what_cannot_work_is_refused_before_anything_is_sent(kind: Any, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(OACConfigurationError, match=says):
        Task(lambda: kind(task_id="a_task", **{**NEEDED.get(kind, {}), **arguments})).start()


@pytest.mark.parametrize("kind", [OACCreateConnectionOperator, OACUpdateConnectionOperator])
@pytest.mark.parametrize(
    "params",
    [
        {"password": "x"}, {"proxy": {"authToken": "x"}}, {"PrivateKey": "x"}, {"accessKeyId": "x"},
        {"credentials": {"key": "x"}}, {"keys": [{"password": "x"}]},
    ],
)  # fmt: skip
def test_secrets_in_a_dag_are_refused_when_it_is_parsed(kind: Any, params: dict[str, Any]) -> None:
    named = (
        {"connection_name": "Warehouse", "connection_type": "postgresql"}
        if kind is OACCreateConnectionOperator
        else {"connection": "'admin'.'CRM'"}
    )
    with pytest.raises(OACConfigurationError, match="Secrets do not belong in a DAG"):
        kind(task_id="a_task", data_source_conn_id="warehouse", connection_params=params, **named)


TO_RESTORE = {"snapshot_id": "1", "name": "x", "seal": "oac_seal"}


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize(
    ("changes", "run_type", "says"),
    [
        ({"expected_host": "http://[bad"}, "manual", "must be the host"),
        ({"expected_host": "prod.example.com"}, "manual", "expected_host is 'prod.example.com'"),
        ({}, "scheduled", "of the type 'scheduled'"),
        ({}, "asset_triggered", "of the type 'asset_triggered'"),
    ],
)
def test_a_restore_that_cannot_be_meant_fails_without_a_retry(
    changes: dict[str, Any], run_type: str, says: str
) -> None:
    arguments = {"expected_host": "localhost:1", "snapshot": TO_RESTORE, "without_safety_snapshot": True, **changes}
    task = Task(lambda: OACRestoreSnapshotOperator(task_id="restore", **arguments), run_type=run_type)
    with pytest.raises(AirflowFailException, match=re.escape(says)):
        task.start()


def test_a_restore_has_no_retries_unless_it_is_told_so_itself() -> None:
    with DAG("a_dag", schedule=None, default_args={"retries": 3}):
        assert OACRestoreSnapshotOperator(task_id="one", expected_host="x").retries == 0
        assert OACRestoreSnapshotOperator(task_id="two", expected_host="x", retries=2).retries == 2


def test_not_waiting_for_a_restore_makes_no_sense() -> None:
    with pytest.raises(
        OACConfigurationError, match="wait_for_completion=False is not supported: a restore comes after"
    ):
        OACRestoreSnapshotOperator(task_id="one", expected_host="x", wait_for_completion=False)
