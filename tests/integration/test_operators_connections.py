"""Connections of OAC to data sources: credentials from Airflow Connections, wallets, and doing it again."""

from __future__ import annotations

import io
import json
import logging
import zipfile
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
DELETE = "DELETE /catalog/connections/{connectionId}"
CRM = "'admin'.'CRM'"


def digest(text: str | bytes) -> str:
    return sha256(text.encode() if isinstance(text, str) else text).hexdigest()


@pytest.fixture
def source(connections: Connections) -> Connections:
    """The credentials of a data source in the Airflow Connection `warehouse`."""
    connections.set("warehouse", {"conn_type": "generic", "login": "LOADER", "password": PASSWORD})
    return connections


def create(**changes: Any) -> OACCreateConnectionOperator:
    arguments = {
        "task_id": "create", "connection_name": "Warehouse", "connection_type": "postgresql",
        "data_source_conn_id": "warehouse", "connection_params": {"host": "db.example.com", "port": "5432"}, "retries":
        2,
    }  # fmt: skip
    return OACCreateConnectionOperator(**{**arguments, **changes})


def update(**changes: Any) -> OACUpdateConnectionOperator:
    arguments = {"task_id": "update", "connection": CRM, "data_source_conn_id": "warehouse"}
    return OACUpdateConnectionOperator(**{**arguments, **changes})


def kept(simulator: Simulator, name: str, owner: str = ADMIN) -> dict[str, Any] | None:
    """What the simulated OAC keeps of a connection: of secrets only a digest."""
    items = simulator.control.content("dev")["catalog"]
    found = [item for item in items if item["type"] == "connections" and item["plain"] == f"'{owner}'.'{name}'"]
    return {**found[0]["definition"], "description": found[0]["description"]} if found else None


def test_a_connection_is_created_with_the_credentials_of_an_airflow_connection(
    source: Connections, clean: Simulator
) -> None:
    result = Task(lambda: create(description="For sales")).attempt()
    assert result == {"connection_id": object_id(ADMIN, "Warehouse"), "name": "Warehouse", "how": "created"}
    assert kept(clean, "Warehouse") == {
        "connectionType": "postgresql", "host": "db.example.com", "port": "5432", "username": "LOADER",
        "passwordSha256": digest(PASSWORD), "description": "For sales",
    }  # fmt: skip


def test_a_lookup_that_fails_does_not_fail_a_connection_that_was_created(source: Connections, clean: Simulator) -> None:
    clean.control.settings(connection_created="201_empty")
    clean.control.fault("GET /catalog/{type}", "status", status=400, times=None)
    result = Task(lambda: create(if_exists="update")).attempt()
    assert (result["connection_id"], result["how"]) == (object_id(ADMIN, "Warehouse"), "created")
    assert clean.control.calls("dev", "GET /catalog/{type}") == 1


def test_further_secrets_come_from_the_extra(source: Connections, clean: Simulator) -> None:
    extra = {"connection_params": {"clientSecret": "Another-Secret-1"}}
    source.set("warehouse", {"conn_type": "generic", "login": "L", "password": PASSWORD, "extra": extra})
    Task(create).attempt()
    assert (kept(clean, "Warehouse") or {})["clientSecretSha256"] == digest("Another-Secret-1")


@pytest.mark.parametrize("form", ["sso", "zip"])
def test_a_wallet_goes_along(source: Connections, clean: Simulator, tmp_path: Path, form: str) -> None:
    wallet, file = bytes(range(256)) * 20, tmp_path / f"wallet.{form}"
    if form == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("tnsnames.ora", "x")
            archive.writestr("cwallet.sso", wallet)
    else:
        file.write_bytes(wallet)
    Task(
        lambda: create(
            connection_type="oracle-autonomous-data-warehouse", connection_params={"serviceName": "adw_high"},
            wallet=file.as_uri(),
        )
    ).attempt()  # fmt: skip
    assert (kept(clean, "Warehouse") or {})["walletSha256"] == digest(wallet)


def test_a_file_that_is_no_wallet_is_caught_before_any_call(
    source: Connections, clean: Simulator, tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "x")
    (tmp_path / "w.zip").write_bytes(buffer.getvalue())
    with pytest.raises(OACConfigurationError, match=r"must contain cwallet\.sso"):
        Task(lambda: create(wallet=str(tmp_path / "w.zip"))).attempt()
    with pytest.raises(OACConfigurationError, match=r"The wallet .*none\.sso does not exist"):
        Task(lambda: create(wallet=str(tmp_path / "none.sso"))).attempt()
    assert clean.control.calls("dev", POST) == 0


def test_a_second_connection_of_a_name_fails_without_a_retry_by_default(source: Connections, clean: Simulator) -> None:
    Task(create).attempt()
    with pytest.raises(AirflowFailException, match=r"already exists.*if_exists='keep' or 'update'"):
        Task(create).attempt()


def test_a_connection_that_exists_is_kept_or_updated_as_asked(source: Connections, clean: Simulator) -> None:
    Task(create).attempt()
    source.set("warehouse", {"conn_type": "generic", "login": "LOADER", "password": "New-Secret-10"})
    assert Task(lambda: create(if_exists="keep")).attempt()["how"] == "kept"
    assert (kept(clean, "Warehouse") or {})["passwordSha256"] == digest(PASSWORD)
    assert Task(lambda: create(if_exists="update")).attempt()["how"] == "updated"
    assert (kept(clean, "Warehouse") or {})["passwordSha256"] == digest("New-Secret-10")


@pytest.mark.parametrize("store", [True, False])
@pytest.mark.parametrize("if_exists", ["fail", "keep"])
def test_what_was_there_before_is_never_overwritten_by_a_retry(
    source: Connections, clean: Simulator, store: bool, if_exists: str
) -> None:
    clean.control.fault(POST, "status", status=403)
    task = Task(lambda: create(if_exists=if_exists), store=store)
    with pytest.raises(OACApiError):
        task.attempt()
    # In the meantime somebody creates it by hand.
    Task(lambda: create(connection_params={"host": "other.example.com"})).attempt()
    if if_exists == "keep":
        assert task.attempt()["how"] == "kept"
    else:
        why = "already exists" if store else "If an earlier try of this task created it"
        with pytest.raises(AirflowFailException, match=why):
            task.attempt()
    assert (kept(clean, "Warehouse") or {})["host"] == "other.example.com"
    assert clean.control.calls("dev", PUT) == 0


@pytest.mark.parametrize("if_exists", ["fail", "keep"])
def test_a_lost_answer_does_not_make_another_ones_connection_mine(
    source: Connections, clean: Simulator, if_exists: str
) -> None:
    Task(lambda: create(connection_params={"host": "other.example.com"})).attempt()
    clean.control.fault(POST, "drop_before")
    task = Task(lambda: create(if_exists=if_exists))
    if if_exists == "keep":
        assert task.attempt()["how"] == "kept"
    else:
        with pytest.raises(AirflowFailException, match="already exists"):
            task.attempt()
    assert (kept(clean, "Warehouse") or {})["host"] == "other.example.com"


def test_a_retry_takes_what_an_earlier_try_created_and_brings_it_to_what_is_wanted(
    source: Connections, clean: Simulator
) -> None:
    changes: dict[str, Any] = {}
    task = Task(lambda: create(**changes))
    task.attempt()
    changes["connection_params"] = {"host": "new.example.com"}
    assert task.attempt()["how"] == "created"
    assert (kept(clean, "Warehouse") or {})["host"] == "new.example.com"


def test_a_connection_of_that_name_of_somebody_else_is_never_touched(source: Connections, clean: Simulator) -> None:
    before = kept(clean, "CRM", "admin")
    assert Task(lambda: create(connection_name="CRM", if_exists="update")).attempt()["how"] == "created"
    assert kept(clean, "CRM", "admin") == before


def test_a_password_is_rotated(source: Connections, clean: Simulator) -> None:
    before = kept(clean, "CRM", "admin") or {}
    result = Task(update).attempt()
    assert result == {
        "connection_id": catalog_id(CRM), "name": "CRM", "sent": ["connectionType", "password", "username"]
    }  # fmt: skip
    after = kept(clean, "CRM", "admin")
    assert after == {**before, "username": "LOADER", "passwordSha256": digest(PASSWORD)}


@pytest.mark.parametrize("member", ["login", "password"])
def test_an_update_without_user_name_or_password_is_caught_before_any_call(
    source: Connections, clean: Simulator, member: str
) -> None:
    given = {"conn_type": "generic", "login": "LOADER", "password": PASSWORD}
    del given[member]
    source.set("warehouse", given)
    with pytest.raises(OACConfigurationError, match=f"'warehouse': {member} missing.*each time it creates or changes"):
        Task(update).attempt()
    assert sum(clean.control.calls("dev", name) for name in (PUT, "GET /catalog/{type}/{id}")) == 0


def test_a_change_of_the_type_is_caught_before_it_is_sent(source: Connections, clean: Simulator) -> None:
    with pytest.raises(OACConfigurationError, match="of the type 'mysql', not 'snowflake'"):
        Task(lambda: update(connection_params={"connectionType": "snowflake"})).attempt()
    assert clean.control.calls("dev", PUT) == 0


def test_a_connection_is_deleted_once(source: Connections, clean: Simulator) -> None:
    def delete(**changes: Any) -> Any:
        return OACDeleteConnectionOperator(task_id="delete", connection=CRM, retries=2, **changes)

    clean.control.fault(DELETE, "drop_after")
    task = Task(delete)
    assert task.attempt() == catalog_id(CRM)
    assert kept(clean, "CRM", "admin") is None
    assert task.attempt() == catalog_id(CRM), "a retry takes it for deleted by the try before"
    with pytest.raises(AirflowFailException, match="missing_ok=True treats this as success"):
        Task(delete).attempt()
    assert Task(lambda: delete(missing_ok=True)).attempt() == catalog_id(CRM)


def test_whatever_stands_in_the_extra_is_secret(
    source: Connections, clean: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = {"apiKey": "Secret-1", "signer": {"key": "Secret-2"}, "keys": [{"value": "Secret-3"}, "Secret-4"]}
    secrets = {PASSWORD, "Secret-1", "Secret-2", "Secret-3", "Secret-4"}
    extra = {"connection_params": params}
    source.set("warehouse", {"conn_type": "generic", "login": "LOADER", "password": PASSWORD, "extra": extra})
    masked: set[str] = set()
    monkeypatch.setattr(credentials, "mask_secret", masked.add)
    body = {"error": f"bad input: {' '.join(sorted(secrets))} of LOADER"}
    clean.control.fault(POST, "status", status=400, body=body)
    with pytest.raises(OACApiError, match="of LOADER") as caught:
        Task(create).attempt()
    assert masked == secrets
    assert not [secret for secret in secrets if secret in str(caught.value)]


def test_nothing_secret_is_told(
    source: Connections, clean: Simulator, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    body = {"error": f"Failed to parse the input json: password {PASSWORD} is too simple"}
    clean.control.fault(POST, "status", status=400, body=body)
    operator = create()
    with pytest.raises(OACApiError) as caught:
        Task(lambda: operator).attempt()
    Task(create).attempt()
    result = Task(update).attempt()
    said = caplog.text + "".join(capsys.readouterr()) + str(caught.value) + repr(caught.value) + json.dumps(result)
    assert "too simple" in said
    assert PASSWORD not in said + repr(operator) + repr(operator.order("x"))
