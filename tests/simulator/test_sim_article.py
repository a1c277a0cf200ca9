"""What people copy from the article that this project comes from works, with its values filled in."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from tests.simulator.sim_caller import ADMIN, DEVICE_CODE, Caller

Runner = Callable[[list[str]], dict[str, Any]]
FORM = "Content-Type: application/x-www-form-urlencoded"


def run_curl(arguments: list[str]) -> dict[str, Any]:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed; the other variant sends the same bytes")
    run = subprocess.run([curl, "--silent", "--noproxy", "*", *arguments], capture_output=True, check=True)
    return dict(json.loads(run.stdout))


def run_http_client(arguments: list[str]) -> dict[str, Any]:
    """Send what curl would send."""
    headers: dict[str, str] = {}
    fields: list[str] = []
    url = ""
    words = iter(arguments)
    for word in words:
        if word == "--header":
            name, _, value = next(words).partition(":")
            headers[name] = value.strip()
        elif word == "--data-urlencode":
            name, _, value = next(words).partition("=")
            fields.append(f"{name}={quote(value, safe='')}")
        elif word == "--request":
            assert next(words) == "POST"
        elif word != "--location":
            url = word
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    try:
        connection.request("POST", parts.path, "&".join(fields), headers)
        return dict(json.load(connection.getresponse()))
    finally:
        connection.close()


@pytest.fixture(params=[run_curl, run_http_client], ids=["curl", "http.client"])
def run(request: pytest.FixtureRequest, sim: Caller) -> Runner:
    # Id and secret are encoded as they are, without form-encoding: what `serve` accepts by itself.
    sim.control.settings(basic_encoding="either")
    runner: Runner = request.param
    return runner


def data(**fields: str) -> list[str]:
    return [word for name, value in fields.items() for word in ("--data-urlencode", f"{name}={value}")]


def basic(sim: Caller) -> str:
    pair = f"{sim.client_id}:{sim.ready['client_secret']}"
    return f"Authorization: Basic {base64.b64encode(pair.encode()).decode()}"


def works(sim: Caller, tokens: dict[str, Any]) -> bool:
    return sim.oac("GET", "/system", token=tokens["access_token"]).status_code == 200


def refresh(sim: Caller, run: Runner, tokens: dict[str, Any]) -> dict[str, Any]:
    return run(
        [
            "--location", "--request", "POST", f"{sim.ready['identity_url']}/oauth2/v1/token",
            "--header", basic(sim), "--header", FORM,
            *data(grant_type="refresh_token", refresh_token=tokens["refresh_token"], scope=sim.scope()),
        ]
    )  # fmt: skip


def test_password_then_refresh(sim: Caller, run: Runner) -> None:
    form = data(
        grant_type="password", username=ADMIN, password=sim.ready["users"][ADMIN],
        scope=f"{sim.scope()} offline_access",
    )  # fmt: skip
    url = f"{sim.ready['identity_url']}/oauth2/v1/token"
    tokens = run(["--request", "POST", url, "--header", basic(sim) + " ", "--header", FORM, *form])
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == 100
    assert works(sim, tokens)
    again = refresh(sim, run, tokens)
    assert works(sim, again)
    assert again["refresh_token"] != tokens["refresh_token"]
    assert works(sim, refresh(sim, run, again))


def test_device_code_in_three_steps(sim: Caller, run: Runner) -> None:
    identity = sim.ready["identity_url"]
    codes = run(
        [
            "--location", "--request", "POST", f"{identity}/oauth2/v1/device",
            "--header", f"{FORM}; charset=utf-8",
            *data(
                response_type="device_code", scope=f"{sim.scope()} offline_access", client_id=sim.client_id
            ),
        ]
    )  # fmt: skip
    assert set(codes) == {"device_code", "user_code", "verification_uri", "expires_in"}
    assert codes["verification_uri"] == f"{identity}/ui/v1/device"
    assert codes["expires_in"] == 300
    assert len(codes["user_code"]) == 8
    sim.control.approve_device(codes["user_code"])
    form = data(
        grant_type=DEVICE_CODE, client_id=sim.client_id, client_secret=sim.ready["client_secret"],
        device_code=codes["device_code"],
    )  # fmt: skip
    tokens = run(["--location", "--request", "POST", f"{identity}/oauth2/v1/token", "--header", FORM, *form])
    assert works(sim, tokens)
    assert works(sim, refresh(sim, run, tokens))


SCRIPT = """
from datetime import datetime, timezone
import jwt
import requests
tokenIssued = int(datetime.now(tz=timezone.utc).timestamp())
tokenExpiry = tokenIssued + 3600
userToAssert = {user!r}
clientId = {client_id!r}
keyId = {alias!r}
OACscope = {scope!r}
IDCS_url = {url!r}
private_key = open({key!r}, 'r').read()
header = {{"alg": "RS256", "typ": "JWT", "kid": keyId}}
client_payload = {{"sub": clientId, "jti": "8c7df446-bfae-40be-be09-0ab55c655436", "iat": tokenIssued,
    "exp": tokenExpiry, "iss": clientId, "aud": ["https://identity.oraclecloud.com/"]}}
user_payload = {{"sub": userToAssert, "jti": "8c7df446-bfae-40be-be09-0ab55c655436", "iat": tokenIssued,
    "exp": tokenExpiry, "iss": clientId, "aud": ["https://identity.oraclecloud.com/"]}}
encoded_user_assertion = jwt.encode(payload=user_payload, key=private_key, algorithm="RS256", headers=header)
encoded_client_assertion = jwt.encode(payload=client_payload, key=private_key, algorithm="RS256", headers=header)
payload = {{
'grant_type' : 'urn:ietf:params:oauth:grant-type:jwt-bearer',
'scope' : OACscope,
'client_id' : clientId,
'client_assertion_type' : 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
'assertion' : encoded_user_assertion,
'client_assertion' : encoded_client_assertion
}}
headers = {{'content-type': 'application/x-www-form-urlencoded'}}
response = requests.request("POST", IDCS_url, headers=headers, data=payload)
print(response.text)
"""


def test_python_script_with_assertions(sim: Caller, tmp_path: Path) -> None:
    script = tmp_path / "get_token.py"
    script.write_text(
        SCRIPT.format(
            user=ADMIN,
            client_id=sim.client_id,
            alias=sim.ready["certificate_alias"],
            scope=f"{sim.scope()} offline_access",
            url=f"{sim.ready['identity_url']}/oauth2/v1/token",
            key=sim.ready["private_key_file"],
        )
    )
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    tokens = json.loads(run.stdout)
    assert works(sim, tokens)
    assert tokens["refresh_token"]
