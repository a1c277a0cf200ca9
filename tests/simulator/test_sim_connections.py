"""Connections: create with and without a wallet, update, delete."""

from __future__ import annotations

import copy
import json
from base64 import urlsafe_b64decode
from hashlib import sha256
from typing import Any

import pytest

from tests.simulator.sim_caller import Caller, encoded

ADMIN, AUTHOR = "oac.admin@example.com", "oac.author@example.com"
PASSWORD = "Rotated-2026!"
WALLET = bytes(range(256)) * 5 + b"\r\n--x\r\n"
ENVELOPE = {
    "version": "2.0.0", "type": "connection", "name": "warehouse", "description": "ADW",
    "content": {
        "connectionParams": {
            "connectionType": "oracle-autonomous-data-warehouse", "connectionString": "(description=...)",
            "username": "ADMIN", "password": PASSWORD, "sslType": "ServerAuthentication",
        }
    },
}  # fmt: skip


def changed(params: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    """The envelope with other members; None removes one."""
    body = {**copy.deepcopy(ENVELOPE), **members}
    if params:
        body["content"]["connectionParams"].update(params)
        kept = body["content"]["connectionParams"]
        body["content"]["connectionParams"] = {name: value for name, value in kept.items() if value is not None}
    return {name: value for name, value in body.items() if value is not None}


def create(sim: Caller, body: Any, **kwargs: Any) -> Any:
    return sim.oac("POST", "/catalog/connections", json=body, **kwargs)


def kept(sim: Caller, plain: str) -> dict[str, Any]:
    found = [item for item in sim.control.content("dev")["catalog"] if item["plain"] == plain]
    return dict(found[0])


def test_create(sim: Caller) -> None:
    reply = create(sim, ENVELOPE, user=AUTHOR)
    assert (reply.status_code, reply.json().keys()) == (200, {"connectionId"})
    text = reply.json()["connectionId"]
    assert urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode() == f"'{AUTHOR}'.'warehouse'"
    found = sim.oac("GET", f"/catalog/connections/{text}?fields=name,owner,content", user=AUTHOR).json()
    assert found["content"]["username"] == "ADMIN"
    definition = kept(sim, f"'{AUTHOR}'.'warehouse'")["definition"]
    assert definition["passwordSha256"] == sha256(PASSWORD.encode()).hexdigest()
    assert "password" not in definition
    assert create(sim, ENVELOPE, user=AUTHOR).status_code == 409
    assert create(sim, ENVELOPE).status_code == 200, "another owner may use the name"


def test_create_with_a_wallet_and_a_folder(sim: Caller) -> None:
    params = {"connectionString": None, "sslType": None, "serviceName": "adw_high"}
    body = changed(params, folderPath="/shared/Sales")
    assert "wallet" in create(sim, body).json()["error"]
    files = {
        "connectionParams": (None, json.dumps(body), "text/plain"),
        "cert": ("cwallet.sso", WALLET, "text/plain"),
    }
    reply = sim.oac("POST", "/catalog/connections", files=files)
    assert reply.status_code == 200, reply.text
    item = kept(sim, f"'{ADMIN}'.'warehouse'")
    assert item["definition"]["walletSha256"] == sha256(WALLET).hexdigest()
    assert item["parent"] == "/@Catalog/shared/Sales"
    inside = sim.oac("GET", f"/catalog/folders/{encoded('/@Catalog/shared/Sales')}?search=warehouse").json()
    assert [thing["type"] for thing in inside] == ["connections"]
    image = {**files, "cert": ("cwallet.sso", WALLET, "image/png")}
    assert "application/octet-stream" in sim.oac("POST", "/catalog/connections", files=image).json()["error"]
    only = {"cert": files["cert"]}
    assert "connectionParams" in sim.oac("POST", "/catalog/connections", files=only).json()["error"]


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream"])
def test_a_wallet_with_a_connect_string(sim: Caller, kind: str) -> None:
    body = changed({"sslType": None})
    files = {"connectionParams": (None, json.dumps(body), "text/plain"), "cert": ("cwallet.sso", WALLET, kind)}
    reply = sim.oac("POST", "/catalog/connections", files=files)
    assert reply.status_code == 200, reply.text
    assert kept(sim, f"'{ADMIN}'.'warehouse'")["definition"]["walletSha256"] == sha256(WALLET).hexdigest()
    body["content"]["connectionParams"]["connectionString"] = ""
    files["connectionParams"] = (None, json.dumps(body), "text/plain")
    assert "'serviceName' not found" in sim.oac("POST", "/catalog/connections", files=files).json()["error"]


def test_a_type_without_a_schema_lists_every_alternative(sim: Caller) -> None:
    error = create(sim, changed({"connectionType": "idljdbc"})).json()["error"]
    assert [name for name in ("serviceName", "password", "connectionString") if f"'{name}' not found" in error] == [
        "serviceName", "password", "connectionString",
    ]  # fmt: skip


@pytest.mark.parametrize("how", ["201_json", "201_id", "201_empty"])
def test_the_answers_of_a_real_instance(sim: Caller, how: str) -> None:
    sim.control.settings(connection_created=how)
    reply = create(sim, ENVELOPE)
    plain = encoded(f"'{ADMIN}'.'warehouse'")
    texts = {"201_json": json.dumps({"connectionId": plain}), "201_id": plain, "201_empty": ""}
    assert (reply.status_code, reply.text) == (201, texts[how])
    assert reply.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (changed(version=None), "version is not specified in the input json"),
        (changed(type="workbook"), "type must be connection"),
        (changed(name=None), "name is not specified"),
        (changed(content=None), "connectionParams"),
        (changed({"password": None}), "required property 'password' not found"),
        (changed({"connectionString": None}), "required property 'connectionString' not found"),
        (changed({"connectionType": None}), "required property 'connectionType' not found"),
        (changed({"connectionType": "mysql"}), "required property 'host' not found"),
        (changed(folderPath="/shared/None"), "does not exist"),
        (changed(folderPath=7), "folderPath"),
        ([], "not an object"),
    ],
)
def test_what_create_refuses(sim: Caller, body: Any, words: str) -> None:
    reply = create(sim, body)
    assert (reply.status_code, reply.json().keys()) == (400, {"error"})
    assert words in reply.json()["error"]
    sim.control.settings(connection_error="standard")
    assert create(sim, body).json().keys() == {"code", "message"}


def test_bodies_of_another_kind(sim: Caller) -> None:
    for kind, data in (("text/plain", b"{}"), ("application/json", b"{"), ("multipart/form-data", b"")):
        reply = sim.oac("POST", "/catalog/connections", data=data, headers={"Content-Type": kind})
        assert reply.status_code == 400, kind


def test_update(sim: Caller) -> None:
    path = f"/catalog/connections/{create(sim, ENVELOPE).json()['connectionId']}"
    plain = f"'{ADMIN}'.'warehouse'"
    new = changed({"password": "Another-2026!", "sslType": None, "connectionString": None}, description=None)
    reply = sim.oac("PUT", path, json=new)
    assert (reply.status_code, reply.content) == (200, b"")
    item = kept(sim, plain)
    assert item["definition"]["passwordSha256"] == sha256(b"Another-2026!").hexdigest()
    assert item["definition"]["connectionString"] == "(description=...)", "what is not sent stays"
    assert item["description"] == "ADW"
    for params in ({"password": None}, {"username": None}, {"connectionType": "mysql"}):
        assert sim.oac("PUT", path, json=changed(params)).status_code == 400, params
    assert sim.oac("PUT", path, json=changed(name="renamed")).status_code == 200
    assert kept(sim, plain)["name"] == "renamed"
    assert create(sim, changed(name="second")).status_code == 200
    assert sim.oac("PUT", path, json=changed(name="second")).status_code == 409
    assert sim.oac("PUT", path, json=ENVELOPE, user=AUTHOR).status_code == 403
    assert sim.oac("PUT", f"/catalog/connections/{encoded('none')}", json=ENVELOPE).status_code == 404


def test_delete(sim: Caller) -> None:
    path = f"/catalog/connections/{create(sim, ENVELOPE).json()['connectionId']}"
    assert sim.oac("DELETE", path, user=AUTHOR).status_code == 403
    reply = sim.oac("DELETE", path)
    assert (reply.status_code, reply.content) == (200, b"")
    assert sim.oac("DELETE", path).status_code == 404
