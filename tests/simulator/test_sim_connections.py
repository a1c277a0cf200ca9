"""Connections: create with and without a wallet, update, delete."""

from __future__ import annotations

import copy
import json
from hashlib import sha256
from typing import Any

import pytest

from tests.simulator.sim_caller import ADMIN, AUTHOR, CONNECTION, Caller, encoded

CREATE, PLAIN = "/catalog/connections", f"'{ADMIN}'.'warehouse'"
WALLET = bytes(range(256)) * 5 + b"\r\n--x\r\n"


def changed(params: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    """The envelope with other members; None removes one."""
    body = {**copy.deepcopy(CONNECTION), **members}
    if params:
        kept = body["content"]["connectionParams"] | params
        body["content"]["connectionParams"] = {name: value for name, value in kept.items() if value is not None}
    return {name: value for name, value in body.items() if value is not None}


def create(sim: Caller, body: Any = CONNECTION, **kwargs: Any) -> Any:
    return sim.oac("POST", CREATE, json=body, **kwargs)


def with_wallet(sim: Caller, body: Any, kind: str = "text/plain") -> Any:
    parts = {"connectionParams": (None, json.dumps(body), "text/plain"), "cert": ("cwallet.sso", WALLET, kind)}
    return sim.oac("POST", CREATE, files=parts)


def kept(sim: Caller) -> dict[str, Any]:
    [found] = [item for item in sim.control.content("dev")["catalog"] if item["plain"] == PLAIN]
    return dict(found)


def test_create_with_a_wallet_in_a_folder(sim: Caller) -> None:
    params = {"connectionString": None, "sslType": None, "serviceName": "adw_high"}
    body = changed(params, folderPath="/shared/Sales")
    assert "wallet" in create(sim, body).json()["error"]
    assert with_wallet(sim, body).status_code == 200
    assert kept(sim)["parent"] == "/@Catalog/shared/Sales"
    inside = sim.oac("GET", f"/catalog/folders/{encoded('/@Catalog/shared/Sales')}?search=warehouse").json()
    assert [thing["type"] for thing in inside] == ["connections"]
    assert "application/octet-stream" in with_wallet(sim, body, "image/png").json()["error"]
    only = {"cert": ("cwallet.sso", WALLET, "text/plain")}
    assert "connectionParams" in sim.oac("POST", CREATE, files=only).json()["error"]


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream"])
def test_a_wallet_with_a_connect_string(sim: Caller, kind: str) -> None:
    body = changed({"sslType": None})
    assert with_wallet(sim, body, kind).status_code == 200
    assert kept(sim)["definition"]["walletSha256"] == sha256(WALLET).hexdigest()
    body["content"]["connectionParams"]["connectionString"] = ""
    assert "'serviceName' not found" in with_wallet(sim, body, kind).json()["error"]


@pytest.mark.parametrize("how", ["201_json", "201_id", "201_empty"])
def test_the_answers_of_a_real_instance(sim: Caller, how: str) -> None:
    sim.control.settings(connection_created=how)
    reply = create(sim)
    texts = {"201_json": json.dumps({"connectionId": encoded(PLAIN)}), "201_id": encoded(PLAIN), "201_empty": ""}
    assert (reply.status_code, reply.text) == (201, texts[how])
    assert reply.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (changed(version=None), ["version is not specified in the input json"]),
        (changed(type="workbook"), ["type must be connection"]),
        (changed(name=None), ["name is not specified"]),
        (changed(content=None), ["connectionParams"]),
        (changed({"password": None}), ["required property 'password' not found"]),
        (changed({"connectionString": None}), ["required property 'connectionString' not found"]),
        (changed({"connectionType": None}), ["required property 'connectionType' not found"]),
        (changed({"connectionType": "mysql"}), ["required property 'host' not found"]),
        # A type without a schema: the error lists every alternative.
        (changed({"connectionType": "idljdbc"}),
         [f"'{name}' not found" for name in ("serviceName", "password", "connectionString")]),
        (changed(folderPath="/shared/None"), ["does not exist"]),
        (changed(folderPath=7), ["folderPath"]),
        ([], ["not an object"]),
    ],
)  # fmt: skip
def test_what_create_refuses(sim: Caller, body: Any, words: list[str]) -> None:
    reply = create(sim, body)
    assert (reply.status_code, reply.json().keys()) == (400, {"error"})
    assert [text for text in words if text not in reply.json()["error"]] == []
    sim.control.settings(connection_error="standard")
    assert create(sim, body).json().keys() == {"code", "message"}


def test_bodies_of_another_kind(sim: Caller) -> None:
    for kind, data in (("text/plain", b"{}"), ("application/json", b"{"), ("multipart/form-data", b"")):
        assert sim.status(f"POST {CREATE}", data=data, headers={"Content-Type": kind}) == 400, kind


def test_what_update_and_delete_refuse(sim: Caller) -> None:
    path = f"{CREATE}/{create(sim).json()['connectionId']}"
    assert create(sim, user=AUTHOR).status_code == 200, "another owner may use the name"
    assert create(sim, changed(name="second")).status_code == 200
    for body, user, status in (
        (changed({"password": None}), ADMIN, 400), (changed({"username": None}), ADMIN, 400),
        (changed({"connectionType": "mysql"}), ADMIN, 400), (changed(name="second"), ADMIN, 409),
        (CONNECTION, AUTHOR, 403), (changed({"connectionString": None}, name="renamed", description=None), ADMIN, 200),
    ):  # fmt: skip
        assert sim.status(f"PUT {path}", body, user=user) == status
    item = kept(sim)
    assert (item["name"], item["description"]) == ("renamed", "ADW")
    assert item["definition"]["connectionString"] == "(description=...)", "what is not sent stays"
    assert sim.status(f"PUT {CREATE}/{encoded('none')}", CONNECTION) == 404
    assert sim.status(f"DELETE {path}", user=AUTHOR) == 403
