"""The table behind the contract test: which call makes which operation, and what cannot be read off the contract.

A new call is a row in `CALLS`. Rows of one operation together must pass every parameter and every member of the body.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.flows.acl_changes import access
from airflow_provider_oac.client.ids import catalog_id, object_id
from airflow_provider_oac.client.rest import (
    acl,
    catalog,
    connections,
    data_flows,
    datasets,
    mail,
    safe_domains,
    sequences,
    settings,
    snapshots,
    system,
    work_requests,
    workbooks,
)

PASSWORD = "Correct-Horse-7-Battery"
WORK_REQUEST = "lfc-cc:13347-c9:3962654"
SNAPSHOT = "ac6fdab7-9c16-4d22-a56f-cb7b5d15505a"

FOLDER = catalog_id("/@Catalog/shared/Sales")
TARGET = catalog_id("/@Catalog/shared/Finance")
WORKBOOK = catalog_id("/shared/Sales/MySalesWorkbook")
DATASET = object_id("admin", "Orders")
# As one sample of the reference shows it.
PADDED = "J2FkbWluJy4nb3JhY2xlX2Fkd193YWxsZXRsZXNzJw=="

SEARCH: dict[str, Any] = {
    "search": "Sales & more", "type_filter": "workbooks", "limit": 100, "sort_by": "name", "sort_order": "DESC",
    "fields": ("id", "name", "lastModified"), "excluded_fields": ["description"], "manage_content": True,
}  # fmt: skip
PLACE: dict[str, Any] = {"parent_id": TARGET, "name": "Copy", "overwrite": False, "create_parents": True}
JANE = access("jane.doe@example.com", ["read", "list"])
ROLE = access("DV Content Author", acl.PERMISSIONS, catalog.APPLICATION_ROLE)


FLOW, SEQUENCE = object_id("admin", "Load Orders"), object_id("admin", "Nightly")
CONNECTION = object_id("admin", "oracle_adw_walletless")
JOB = "1234ABCD5678EFGH9012IJKL3456MNOP"
JOBS: dict[str, Any] = {
    "since": datetime(2026, 1, 1, 10, tzinfo=UTC), "until": datetime(2026, 2, 1, tzinfo=UTC), "status": "FAILED",
    "limit": 5, "tasks": False,
}  # fmt: skip
OTHER_SOURCE = {"type": "source", "parameterName": "P_SOURCE", "datasetId": "'admin'.'Orders'"}
OTHER_TARGET = {"type": "target", "parameterName": "P", "datasetName": "Orders"}
OTHER_CUBE = {
    "type": "cube", "appParameterName": "P_APP", "appName": "Sample", "cubeParameterName": "P_CUBE",
    "cubeName": "Basic",
}  # fmt: skip
DOMAIN = "my.safe-domain.com"


def order(**changes: Any) -> connections.ConnectionOrder:
    params = {"connectionType": "oracle-autonomous-data-warehouse", "username": "ADMIN", "password": PASSWORD}
    return connections.ConnectionOrder("oracle_adw_walletless", params, **changes)


def server(**auth: Any) -> mail.MailServer:
    sender = {"displayName": "OAC", "emailAddress": "oac@example.com"}
    security = {"connectionSecurityType": "START_TLS_CONNECTION_SECURITY"}
    return mail.MailServer("smtp.example.com", 587, sender, auth or {"authType": mail.NO_AUTH}, security)


def user() -> snapshots.UserIdAuthentication:
    return snapshots.UserIdAuthentication("eu-frankfurt-1", "ocid1.tenancy", "ocid1.user", "aa:bb", "d3JhcHBlZA==")


def storage(**changes: Any) -> snapshots.Storage:
    return snapshots.Storage("my-bucket", **changes)


#: Operation and call. An operation may have several rows.
CALLS: list[tuple[str, Callable[[], Call[Any]]]] = [
    # Snapshots, System, Work Requests
    ("listSnapshots", snapshots.list_all),
    ("createSnapshot", lambda: snapshots.create("nightly", "file:///backups/nightly.bar", storage(), PASSWORD)),
    ("createSnapshot", lambda: snapshots.create(
        "nightly", "file:///nightly.bar", storage(region="us-ashburn-1", namespace="other", user=user()), PASSWORD
    )),
    ("createSnapshot", lambda: snapshots.register("nightly", "file:///backups/nightly.bar", storage())),
    ("getSnapshot", lambda: snapshots.get(SNAPSHOT)),
    ("deleteSnapshot", lambda: snapshots.delete(SNAPSHOT)),
    ("deleteSnapshot", lambda: snapshots.delete(SNAPSHOT, delete_storage=True)),
    ("getSystem", system.get),
    ("restoreSnapshot", lambda: system.restore_snapshot(SNAPSHOT, PASSWORD)),
    ("getWorkRequest", lambda: work_requests.get(WORK_REQUEST)),
    # Catalog, Analysis
    ("listCatalogItems", catalog.list_types),
    ("listCatalogItems", lambda: catalog.list_items().page(1)),
    ("listCatalogItems", lambda: catalog.list_items(**SEARCH).page(2)),
    ("listCatalogItemsByType", lambda: catalog.list_types("workbooks")),
    ("listCatalogItemsByType", lambda: catalog.list_items("workbooks").page(1)),
    ("listCatalogItemsByType", lambda: catalog.list_items("workbooks", **SEARCH).page(2)),
    ("getCatalogItem", lambda: catalog.get("folders", FOLDER)),
    ("getCatalogItem", lambda: catalog.get("datasets", DATASET, fields=["name"], manage_content=False)),
    ("getCatalogItem", lambda: catalog.list_children("folders", PADDED).page(1)),
    ("getCatalogItem", lambda: catalog.list_children("folders", FOLDER, **SEARCH).page(2)),
    ("copyCatalogItem", lambda: catalog.copy("workbooks", FOLDER, **PLACE)),
    ("copyCatalogItem", lambda: catalog.copy("datasets", DATASET, target_id=TARGET)),
    ("moveCatalogItem", lambda: catalog.move("workbooks", FOLDER, **PLACE)),
    ("moveCatalogItem", lambda: catalog.move("dashboards", FOLDER, target_id=TARGET)),
    ("changeCatalogItemOwnership", lambda: catalog.change_owner("datasets", DATASET, "jane.doe@example.com")),
    ("changeCatalogItemOwnership", lambda: catalog.change_owner(
        "datasets", DATASET, "DV Content Author", catalog.APPLICATION_ROLE
    )),
    ("getCatalogItemAcl", lambda: acl.get("folders", FOLDER)),
    ("updateCatalogItemAcl", lambda: acl.update("folders", FOLDER, [JANE, ROLE])),
    ("updateCatalogItemAcl", lambda: acl.update("folders", FOLDER, [JANE], mode=acl.DELETE_MATCHING, recursive=True)),
    ("updateCatalogItemAcl", lambda: acl.update("folders", FOLDER, [ROLE], mode=acl.REPLACE_ALL)),
    ("createFolder", lambda: catalog.create_folder("2024", FOLDER)),
    ("createFolder", lambda: catalog.create_folder("2024", FOLDER, create_parents=True)),
    ("deleteFolder", lambda: catalog.delete_folder(FOLDER)),
    ("deleteFolder", lambda: catalog.delete_folder(FOLDER, recursive=True)),
    ("getAnalysis", lambda: catalog.get("analysis", FOLDER)),
    ("getAnalysis", lambda: catalog.get("analysis", FOLDER, fields=["name", "content"])),
    # Workbooks
    ("getWorkbook", lambda: workbooks.get(WORKBOOK)),
    ("getWorkbook", lambda: workbooks.get(WORKBOOK, fields=["name", "content"])),
    ("getWorkbookCanvases", lambda: workbooks.canvases(WORKBOOK)),
    ("exportWorkbook", lambda: workbooks.export(WORKBOOK, "MySalesWorkbook", ["snapshot!canvas!1"], "pdf")),
    ("exportWorkbook", lambda: workbooks.export(WORKBOOK, "x", list("abcde"), "png", width=3600, height=1)),
    ("downloadWorkbookExport", lambda: workbooks.download(WORKBOOK, "biwj-J2NwOjY1OCcuJ2NlOjM4ODEn")),
    # Datasets, Data Flows, Sequences
    ("reloadDataset", lambda: datasets.reload(DATASET)),
    ("listDatasetJobs", lambda: datasets.history(DATASET)),
    ("listDatasetJobs", lambda: datasets.history(DATASET, **JOBS)),
    ("getLatestDatasetJob", lambda: datasets.latest(DATASET)),
    ("getDatasetJob", lambda: datasets.job(DATASET, JOB)),
    ("runDataFlow", lambda: data_flows.run(FLOW)),
    ("runDataFlow", lambda: data_flows.run(FLOW, OTHER_SOURCE)),
    ("runDataFlow", lambda: data_flows.run(FLOW, OTHER_TARGET)),
    ("runDataFlow", lambda: data_flows.run(FLOW, OTHER_CUBE)),
    ("listDataFlowJobs", lambda: data_flows.history(FLOW, **JOBS)),
    ("getLatestDataFlowJob", lambda: data_flows.latest(FLOW, tasks=False)),
    ("getDataFlowJob", lambda: data_flows.job(FLOW, JOB, tasks=False)),
    ("runSequence", lambda: sequences.run(SEQUENCE)),
    ("listSequenceJobs", lambda: sequences.history(SEQUENCE, **JOBS)),
    ("getLatestSequenceJob", lambda: sequences.latest(SEQUENCE)),
    ("getSequenceJob", lambda: sequences.job(SEQUENCE, JOB)),
    # Connections
    ("createConnection", lambda: connections.create(order(description="Sample", folder_path="/@Catalog/shared"))),
    ("createConnection", lambda: connections.create(order(wallet=b"\x00wallet\r\n--"))),
    ("getConnection", lambda: connections.get(CONNECTION)),
    ("getConnection", lambda: connections.get(PADDED, fields=["name", "content"])),
    ("updateConnection", lambda: connections.update(CONNECTION, order(description="", folder_path="/@Catalog/shared"))),
    ("updateConnection", lambda: connections.update(CONNECTION, order(wallet=b"wallet"))),
    ("deleteConnection", lambda: connections.delete(CONNECTION)),
    # System Settings, Mail, Safe Domains
    ("getSystemSettings", settings.get),
    ("getSystemSettings", lambda: settings.get(["EmailMaxRecipients", "SomeKey"], pending=True, kind="updated")),
    ("updateSystemSettings", lambda: settings.update({"EmailMaxRecipients": "512", "EmailMaxEmailSizeKB": "4096"})),
    ("getMailServer", mail.get),
    ("configureMailServer", lambda: mail.configure(server())),
    ("configureMailServer", lambda: mail.configure(
        server(authType=mail.PASSWORD_AUTH, username="mailer", password=PASSWORD)
    )),
    ("deleteMailServer", mail.delete),
    ("listSafeDomains", safe_domains.list_all),
    ("putSafeDomain", lambda: safe_domains.put(DOMAIN, {"img-src": True, "frame-src": True})),
    ("deleteSafeDomain", lambda: safe_domains.delete(DOMAIN)),
]  # fmt: skip

#: Answers of success for operations whose contract shows no example; the contract's schema must accept them.
ANSWERS: dict[str, Any] = {
    "createFolder": {"type": "folders", "id": FOLDER, "name": "2024"},
    "updateCatalogItemAcl": [{"accountGuid": "DV Content Author", "accountType": "ApplicationRole"}],
    "changeCatalogItemOwnership": "Ownership was changed.",
    "getMailServer": server().body(),
    "listSafeDomains": [{DOMAIN: dict.fromkeys(safe_domains.POLICIES, False)}],
    "getAnalysis": {"owner": "smith", "name": "Sales", "content": {"xml": "<report/>"}},
}

#: Operations whose answer is a file, and such a file.
FILES = {"downloadWorkbookExport": b"%PDF-1.7 ..."}

#: Members of bodies that no call sends, and why.
NOT_SENT = {
    ("createFolder", "id"): "inferred only; name and parentId, which are documented, say the same",
    ("updateCatalogItemAcl", "aclList.accountDisplayName"): "for people, told by OAC",
}

#: Calls that must not be sent a second time when their answer got lost.
ONCE_ONLY = {
    "createSnapshot", "restoreSnapshot", "copyCatalogItem", "moveCatalogItem", "createFolder", "createConnection",
    "reloadDataset", "runDataFlow", "runSequence",
}  # fmt: skip


def as_body(value: Any) -> bytes:
    return json.dumps(value).encode()
