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
from tests.tasks import Task
from tests.unit.operators.everything import KINDS, make

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
RESTORE = "Use OACRestoreSnapshotOperator"
ONE_OF = "Give one of: snapshot_id; snapshot_name; max_age with"
NEEDED: dict[str, dict[str, Any]] = {
    "OACUpdateACLOperator": {"catalog_type": "folders", "path": "/@Catalog/shared/Finance", "entries": [READER]},
    "OACCopyCatalogItemOperator": {"catalog_type": "workbooks"},
    "OACMoveCatalogItemOperator": {"catalog_type": "workbooks"},
    "OACExportWorkbookOperator": {"workbook_path": BOOK, "destination": "file:///tmp/x.pdf"},
    "OACExportWorkbooksOperator": {"workbooks": [BOOK], "destination": "file:///tmp/out"},
    "OACRestoreSnapshotOperator": {"expected_host": "x"},
    "OACSqlToStorageOperator": {"sql": "SELECT a b FROM c", "destination": "/tmp/x.csv"},
    "OACMailServerOperator": {"server": SERVER},
    "OACCatalogItemSensor": {"catalog_type": "workbooks", "deferrable": True},
}


def books(*wanted: Any) -> dict[str, Any]:
    return {"workbooks": list(wanted)}


REFUSED: dict[str, list[tuple[dict[str, Any], str]]] = {
    "OACApiOperator": [
        ({}, "Give either call"),
        ({"call": "system.restore_snapshot", "arguments": {"snapshot_id": "x", "password": "y"}}, RESTORE),
        ({"method": "POST", "path": "/system/actions/restoreSnapshot", "body": {}}, RESTORE),
        ({"method": "post", "path": "/system/actions/%72estoresnapshot/"}, RESTORE),
        ({"method": "POST", "path": "/system%2Factions;a=b/restoreSnapshot"}, RESTORE),
        ({"method": "POST", "path": "/restoreSnapshot", "base": "/api/20210901/System//actions", "repeatable": True},
         RESTORE),
        ({"method": "GET"}, "Give either call"),
        ({"call": "system.get", "body": {"a": 1}}, "body cannot be combined with call='system.get'"),
        ({"call": "snapshots.register", "arguments": {"name": "x", "bar_uri": "y", "storage": {}}},
         "storage must be of the class Storage, which JSON cannot express. .*use the operator"),
        ({"call": "acl.update", "arguments": {"kind": "x", "item_id": "x", "entries": [{}]}}, "of the class Access"),
        ({"call": "datasets.history", "arguments": {"object_id": "x", "since": "yesterday"}}, "a time such as 2026-0"),
        ({"method": "GET", "path": "/x", "arguments": {"a": 1}}, "use query and body"),
        ({"call": "system.get", "paged": True}, "does not return pages"),
        ({"method": "POST", "path": "/x", "paged": True}, "needs method=.GET."),
        ({"method": "GET", "path": "/x", "query": {"page": 1}, "paged": True}, "a query without page"),
        ({"method": "POST", "path": "/x", "wait_for_completion": True, "destination": "/x"}, "with paged, destination"),
    ],
    "OACUpdateACLOperator": [
        ({"entries": []}, "No account given"),
        ({"entries": [{"account": "x", "permission": ["read"]}]}, "with account and optionally account_type, p"),
        ({"entries": [{"account": "x"}]}, r"entry for 'x' has permissions=None, but must have a list .*\[\] revokes"),
        ({"entries": [{"account": "x", "permissions": "read"}]}, "has permissions='read'"),
        ({"entries": [{"account": "x", "permissions": ["reading"]}]}, "permissions of read, list, write"),
        ({"entries": [READER, READER]}, "appear twice"),
        ({"path": None}, "Give either the id of the item"),
    ],
    "OACCreateFolderOperator": [
        ({"path": "Sales"}, "no plain id"),
        ({"path": "/Sales"}, "'/Sales' is not a folder path such as"),
    ],
    "OACListCatalogOperator": [
        ({"recursive": True}, "recursive=True needs a folder"),
        ({"destination": "/data/lists/"}, "'/data/lists/' is a folder"),
    ],
    "OACExportWorkbookOperator": [
        ({"screen_width": 4000}, "not 4000"),
        ({"file_format": "docx"}, "'pdf' or 'png'"),
        ({"destination": "file:///tmp/x.png"}, r"must end in \.pdf"),
        ({"workbook_path": None}, "Give either the id of the workbook"),
        ({"workbook_path": "shared/x"}, "a path begins with '/'"),
    ],
    "OACExportWorkbooksOperator": [
        (books(), "workbooks is empty"),
        (books({"path": BOOK}), "Unknown field 'path'"),
        (books({"workbook_path": BOOK, "workbook_id": "x"}), "Give either the id"),
        (books(BOOK, BOOK), r"have the same destination .*Pipeline\.pdf"),
        (books(BOOK, {"workbook_path": "/shared/x", "name": "Pipeline"}), r"have the same destination .*Pipeline\.pdf"),
        (books({"workbook_path": BOOK, "canvases": 7}), "Pipeline: canvases is a list of names or ids"),
        (books({"workbook_path": BOOK, "canvases": "Canvas 1"}), "or ids, not 'Canvas 1'"),
        ({"screen_height": 3601}, "not 3601"),
    ],
    "OACReloadDatasetOperator": [
        ({"dataset": "Orders"}, "'Orders' is no plain id"),
        ({"dataset": ids.object_id("a", "b")}, "It looks encoded"),
        ({"dataset": "'a'.'b'", "dataset_id": "x"}, "either the id of the dataset"),
    ],
    "OACSqlToStorageOperator": [
        ({"page_key": "id"}, "page_key needs page_rows"),
        ({"column_types": {"id": "int64"}}, "column_types need file_format='parquet'"),
    ],
    "OACSystemSettingsOperator": [
        ({}, "Set settings, template_oac_conn_id, or both"),
        ({"settings": {"A": ["x"]}}, "Setting A must be a text, a number or a boolean"),
        ({"template_oac_conn_id": "oac_default", "keys": ["None"]}, "one is the text 'None'"),
    ],
    "OACMailServerOperator": [
        ({"server": {**SERVER, "port": 0}}, "1 to 65535 .documented., not '0'"),
        ({"server": {"host": "h"}}, "needs port, sender, connectionSecurity"),
        ({"server": {**SERVER, "connectionSecurity": "TLS"}}, "Type must be one of NO_CONNECTION.*, not 'TLS'"),
        ({"server": {**SERVER, "sender": "x@example.com"}}, "server's sender must be an obj"),
        ({"server": {**SERVER, "auth": {}}}, "server contains 'auth'"),
        ({"server": {**SERVER, "sender": {"password": "x"}}}, "server contains 'password'"),
        ({"server": None}, "absent=True"),
        ({"absent": True}, "absent=True"),
        ({"mail_conn_id": "short"}, "8 to 255 characters .documented., but it has 5"),
        ({"mail_conn_id": "half"}, "'half': only one of login and password"),
    ],
    "OACSafeDomainsOperator": [
        ({"domains": {"https://a.com/path": []}}, "'https://a.com/path' is not a safe domain"),
        ({"domains": {"a.com": ["img_src"]}}, "have the policies img_src.*connect-src"),
        ({"domains": {"a.com": {"img-src": "yes"}}}, "a.com cannot have the policies img-src"),
        ({}, "Set domains, template_oac_conn_id or remove"),
    ],
    "OACRegisterSnapshotOperator": [
        ({}, r"Give either snapshot \(the result of a backup\) or bar_uri"),
        ({"snapshot": {"name": "x"}}, "A registration needs file and bucket"),
        ({"bar_uri": "folder/name.zip", "bucket": "b"}, "must look like file:///folder/name"),
        ({"bar_uri": "oci://b@ns/x.bar", "bucket": "b"}, "must look like file:///folder/name"),
    ],
    "OACRestoreSnapshotOperator": [({"wait_for_completion": False}, "is not supported: a restore comes after")],
    "OACDeleteSnapshotOperator": [
        ({}, "Give either snapshot_id or snapshot_name"),
        ({"snapshot_id": "1", "snapshot_name": "x"}, "Give either snapshot_id or snapshot_name"),
    ],
    "OACSnapshotSensor": [
        ({}, ONE_OF),
        ({"snapshot_id": "1", "snapshot_name": "x"}, ONE_OF),
        ({"max_age": timedelta(1), "snapshot_label": "nightly"}, ONE_OF),
    ],
    "OACCatalogItemSensor": [
        ({"path": "Pipeline"}, "no plain id of a catalog item"),
        ({"path": BOOK, "modified_since": "yesterday"}, "modified_since must be an ISO 8601 time .*not 'yesterday'"),
    ],
    "OACCopyCatalogItemOperator": [
        ({"path": BOOK}, "No destination given"),
        ({"to_folder_path": "/shared"}, "Give either the id of the item"),
        ({"path": BOOK, "item_id": "x", "new_name": "y"}, "Give either the id of the item"),
        ({"path": BOOK, "new_name": "y", "to_folder_path": "/shared", "to_folder_id": "x"}, "it goes"),
    ],
    "OACMoveCatalogItemOperator": [({"path": BOOK}, "No destination given")],
}  # fmt: skip


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Connection that leads nowhere, and two that are no good for a mail server."""
    short, half = ({"conn_type": "smtp", "login": "a", **password} for password in ({"password": "12345"}, {}))
    for conn_id, connection in {"OAC_DEFAULT": CONNECTION, "SHORT": short, "HALF": half}.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id}", json.dumps(connection))


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize(
    ("name", "arguments", "says"), [(name, *row) for name, rows in REFUSED.items() for row in rows]
)
def test_what_cannot_work_is_refused_before_anything_is_sent(name: str, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(OACConfigurationError, match=says):
        Task(lambda: KINDS[name](task_id="a_task", **{**NEEDED.get(name, {}), **arguments})).start()


SECRETS: list[dict[str, Any]] = [
    {"password": "x"}, {"proxy": {"authToken": "x"}}, {"PrivateKey": "x"}, {"accessKeyId": "x"},
    {"credentials": {"key": "x"}}, {"keys": [{"password": "x"}]},
]  # fmt: skip


@pytest.mark.parametrize("params", SECRETS, ids=str)
def test_secrets_in_a_dag_are_refused_when_it_is_parsed(params: dict[str, Any]) -> None:
    for kind in (KINDS["OACCreateConnectionOperator"], KINDS["OACUpdateConnectionOperator"]):
        with pytest.raises(OACConfigurationError, match="Secrets do not belong in a DAG"):
            make(kind, data_source_conn_id="warehouse", connection_params=params)


def test_secrets_that_a_template_brings_into_a_dag_are_refused_as_well() -> None:
    arguments = {"connection": "'a'.'b'", "data_source_conn_id": "c", "connection_params": "{{ params }}"}
    task: Any = KINDS["OACUpdateConnectionOperator"](task_id="u", **arguments)  # type: ignore[arg-type]
    task.connection_params = {"password": "x"}
    with pytest.raises(OACConfigurationError, match="Secrets do not belong in a DAG"):
        task.execute({})


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
    task = Task(lambda: KINDS["OACRestoreSnapshotOperator"](task_id="restore", **arguments), run_type=run_type)
    with pytest.raises(AirflowFailException, match=re.escape(says)):
        task.start()


def test_a_restore_has_no_retries_unless_it_is_told_so_itself() -> None:
    with DAG("a_dag", schedule=None, default_args={"retries": 3}):
        assert make(KINDS["OACRestoreSnapshotOperator"], task_id="one").retries == 0
        assert make(KINDS["OACRestoreSnapshotOperator"], task_id="two", retries=2).retries == 2
