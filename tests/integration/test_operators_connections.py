"""Connections of OAC to data sources: credentials from Airflow Connections, wallets, and doing it again."""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_oac._compat import AirflowFailException
from airflow_provider_oac.client.ids import catalog_id, object_id
from airflow_provider_oac.exceptions import OACApiError, OACConfigurationError
from airflow_provider_oac.hooks import credentials
from airflow_provider_oac.operators.connections import (
    OACCreateConnectionOperator,
    OACDeleteConnectionOperator,
    OACUpdateConnectionOperator,
)
from oac_simulator.launch import Simulator
from tests.tasks import ADMIN, Connections, Task

PASSWORD = "Warehouse-Secret-9"
POST, PUT = "POST /catalog/connections", "PUT /catalog/connections/{connectionId}"
CRM, OTHER_HOST = "'admin'.'CRM'", {"host": "other.example.com"}


def digest(text: str | bytes) -> str:
    return sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def warehouse(connections: Connections, **changes: Any) -> None:
    """Set the Airflow Connection `warehouse`, with the credentials of a data source."""
    given = {"conn_type": "generic", "login": "LOADER", "password": PASSWORD, **changes}
    connections.set("warehouse", given)


@pytest.fixture(autouse=True)
def source(connections: Connections) -> None:
    warehouse(connections)


def create(**changes: Any) -> OACCreateConnectionOperator:
    arguments = {
        "connection_name": "Warehouse", "connection_type": "postgresql", "data_source_conn_id": "warehouse",
        "connection_params": {"host": "db.example.com", "port": "5432"}, "retries": 2, **changes,
    }  # fmt: skip
    return OACCreateConnectionOperator(task_id="create", **arguments)


def created(**changes: Any) -> Any:
    """The result of a task that creates a connection."""
    return Task(lambda: create(**changes)).attempt()


def update(**changes: Any) -> OACUpdateConnectionOperator:
    arguments = {"connection": CRM, "data_source_conn_id": "warehouse", **changes}
    return OACUpdateConnectionOperator(task_id="update", **arguments)


def kept(simulator: Simulator, name: str = "Warehouse", owner: str = ADMIN) -> dict[str, Any]:
    """What the simulated OAC keeps of a connection: of secrets only a digest."""
    items = simulator.control.content("dev")["catalog"]
    found = [item for item in items if item["type"] == "connections" and item["plain"] == f"'{owner}'.'{name}'"]
    return {**found[0]["definition"], "description": found[0]["description"]} if found else {}


def test_a_connection_gets_the_credentials_of_an_airflow_connection(connections: Connections, clean: Simulator) -> None:
    warehouse(connections, extra={"connection_params": {"clientSecret": "Another-Secret-1"}})
    assert created(description="For sales") == {
        "connection_id": object_id(ADMIN, "Warehouse"), "name": "Warehouse", "how": "created"
    }  # fmt: skip
    assert kept(clean) == {
        "connectionType": "postgresql", "host": "db.example.com", "port": "5432", "username": "LOADER",
        "passwordSha256": digest(PASSWORD), "clientSecretSha256": digest("Another-Secret-1"),
        "description": "For sales",
    }  # fmt: skip


def test_a_lookup_that_fails_does_not_fail_a_connection_that_was_created(clean: Simulator) -> None:
    clean.control.settings(connection_created="201_empty")
    clean.control.fault("GET /catalog/{type}", "status", status=400, times=None)
    result = created(if_exists="update")
    assert (result["connection_id"], result["how"]) == (object_id(ADMIN, "Warehouse"), "created")
    assert clean.control.calls("dev", "GET /catalog/{type}") == 1


def archive(path: Path, **files: bytes) -> str:
    """A zip archive of files whose names end in `.sso`; returns its path."""
    with zipfile.ZipFile(path, "w") as made:
        for name, content in files.items():
            made.writestr(f"{name}.sso", content)
    return str(path)


@pytest.mark.parametrize("form", ["sso", "zip"])
def test_a_wallet_goes_along(clean: Simulator, tmp_path: Path, form: str) -> None:
    wallet, file = bytes(range(256)) * 20, tmp_path / f"wallet.{form}"
    if form == "zip":
        archive(file, tnsnames=b"x", cwallet=wallet)
    else:
        file.write_bytes(wallet)
    params = {"serviceName": "adw_high"}
    created(connection_type="oracle-autonomous-data-warehouse", connection_params=params, wallet=file.as_uri())
    assert kept(clean)["walletSha256"] == digest(wallet)


def test_a_file_that_is_no_wallet_is_caught_before_any_call(clean: Simulator, tmp_path: Path) -> None:
    with pytest.raises(OACConfigurationError, match=r"must contain cwallet\.sso"):
        created(wallet=archive(tmp_path / "w.zip", readme=b"x"))
    with pytest.raises(OACConfigurationError, match=r"The wallet .*none\.sso does not exist"):
        created(wallet=str(tmp_path / "none.sso"))
    assert clean.control.calls("dev", POST) == 0


def test_a_second_one_of_a_name_fails_or_is_kept_or_updated(connections: Connections, clean: Simulator) -> None:
    created()
    with pytest.raises(AirflowFailException, match=r"already exists.*if_exists='keep' or 'update'"):
        created()
    warehouse(connections, password="New-Secret-10")
    for if_exists, how, password in (("keep", "kept", PASSWORD), ("update", "updated", "New-Secret-10")):
        assert created(if_exists=if_exists)["how"] == how
        assert kept(clean)["passwordSha256"] == digest(password)


@pytest.mark.parametrize("if_exists", ["fail", "keep"])
@pytest.mark.parametrize("trouble", ["refused", "refused, no store", "lost answer"])
def test_a_connection_of_somebody_else_is_not_overwritten(clean: Simulator, trouble: str, if_exists: str) -> None:
    task = Task(lambda: create(if_exists=if_exists), store=trouble != "refused, no store")
    if trouble == "lost answer":
        created(connection_params=OTHER_HOST)
        clean.control.fault(POST, "drop_before")
    else:
        clean.control.fault(POST, "status", status=403)
        with pytest.raises(OACApiError):
            task.attempt()
        # In the meantime somebody creates it by hand.
        created(connection_params=OTHER_HOST)
    if if_exists == "keep":
        assert task.attempt()["how"] == "kept"
    else:
        why = "If an earlier try of this task created it" if task.store is None else "already exists"
        with pytest.raises(AirflowFailException, match=why):
            task.attempt()
    assert kept(clean)["host"] == "other.example.com"
    assert clean.control.calls("dev", PUT) == 0


def test_a_retry_takes_what_an_earlier_try_created_and_brings_it_to_what_is_wanted(clean: Simulator) -> None:
    changes: dict[str, Any] = {}
    task = Task(lambda: create(**changes))
    task.attempt()
    changes["connection_params"] = OTHER_HOST
    assert task.attempt()["how"] == "created"
    assert kept(clean)["host"] == "other.example.com"


def test_a_password_is_rotated(clean: Simulator) -> None:
    before = kept(clean, "CRM", "admin")
    sent = ["connectionType", "password", "username"]
    assert Task(update).attempt() == {"connection_id": catalog_id(CRM), "name": "CRM", "sent": sent}
    assert kept(clean, "CRM", "admin") == {**before, "username": "LOADER", "passwordSha256": digest(PASSWORD)}


@pytest.mark.parametrize("member", ["login", "password"])
def test_an_update_without_user_or_password_sends_nothing(
    connections: Connections, clean: Simulator, member: str
) -> None:
    warehouse(connections, **{member: None})
    with pytest.raises(OACConfigurationError, match=f"'warehouse': {member} missing.*each time it creates or changes"):
        Task(update).attempt()
    assert clean.control.calls("dev", "GET /catalog/{type}/{id}") == 0


def test_a_change_of_the_type_is_caught_before_it_is_sent(clean: Simulator) -> None:
    with pytest.raises(OACConfigurationError, match="of the type 'mysql', not 'snowflake'"):
        Task(lambda: update(connection_params={"connectionType": "snowflake"})).attempt()
    assert clean.control.calls("dev", PUT) == 0


def test_a_connection_is_deleted_once(clean: Simulator) -> None:
    def delete(**changes: Any) -> Task:
        return Task(lambda: OACDeleteConnectionOperator(task_id="delete", connection=CRM, retries=2, **changes))

    clean.control.fault("DELETE /catalog/connections/{connectionId}", "drop_after")
    task = delete()
    assert task.attempt() == catalog_id(CRM)
    assert kept(clean, "CRM", "admin") == {}
    assert task.attempt() == catalog_id(CRM), "a retry takes it for deleted by the try before"
    with pytest.raises(AirflowFailException, match="missing_ok=True treats this as success"):
        delete().attempt()
    assert delete(missing_ok=True).attempt() == catalog_id(CRM)


def test_nothing_secret_is_told(
    connections: Connections, clean: Simulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    said: Callable[[], str],
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    params = {"apiKey": "Secret-1", "signer": {"key": "Secret-2"}, "keys": [{"value": "Secret-3"}, "Secret-4"]}
    secrets = {PASSWORD, "Secret-1", "Secret-2", "Secret-3", "Secret-4"}
    warehouse(connections, extra={"connection_params": params})
    masked: set[str] = set()
    monkeypatch.setattr(credentials, "mask_secret", masked.add)
    body = {"error": f"bad input: {' '.join(sorted(secrets))} of LOADER"}
    clean.control.fault(POST, "status", status=400, body=body)
    operator = create()
    with pytest.raises(OACApiError, match="of LOADER") as caught:
        Task(lambda: operator).attempt()
    assert masked == secrets
    results = [created(), Task(update).attempt()]
    told = said() + str(caught.value) + repr([caught.value, operator, operator.order("x")]) + json.dumps(results)
    assert not [secret for secret in secrets if secret in told]
