"""What people copy from the article that this project comes from works, with its values filled in."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote, urlencode

from tests.simulator.sim_caller import ADMIN, DEVICE_CODE, Caller

FORM = "application/x-www-form-urlencoded"


def curl(sim: Caller, path: str, content_type: str = FORM, basic: bool = False, **fields: str) -> dict[str, Any]:
    """Send what curl sends: form fields in percent-encoding; id and secret as they are, not form-encoded first."""
    auth = (sim.client_id, sim.ready["client_secret"]) if basic else None
    reply = sim.identity(path, urlencode(fields, quote_via=quote), headers={"Content-Type": content_type}, auth=auth)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def refreshed(sim: Caller, tokens: dict[str, Any]) -> dict[str, Any]:
    """Check an access token, then exchange the refresh token."""
    assert sim.status("GET /system", token=tokens["access_token"]) == 200
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "scope": sim.scope()}
    return curl(sim, "/oauth2/v1/token", basic=True, **form)


def test_password_then_refresh(sim: Caller) -> None:
    sim.control.settings(basic_encoding="either")
    tokens = curl(sim, "/oauth2/v1/token", basic=True, **sim.password_form(scope=f"{sim.scope()} offline_access"))
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 100)
    refreshed(sim, refreshed(sim, tokens))


def test_device_code_in_three_steps(sim: Caller) -> None:
    sim.control.settings(basic_encoding="either")
    form = {"response_type": "device_code", "scope": f"{sim.scope()} offline_access", "client_id": sim.client_id}
    codes = curl(sim, "/oauth2/v1/device", f"{FORM}; charset=utf-8", **form)
    sim.control.approve_device(codes["user_code"])
    form = {"grant_type": DEVICE_CODE, "client_id": sim.client_id, "client_secret": sim.ready["client_secret"]}
    refreshed(sim, refreshed(sim, curl(sim, "/oauth2/v1/token", device_code=codes["device_code"], **form)))


def test_a_script_with_two_assertions(sim: Caller) -> None:
    """Its assertions have the same `jti`, live for an hour, and have a list as audience."""
    claims = {"jti": "8c7df446", "exp": int(time.time()) + 3600, "aud": ["https://identity.oraclecloud.com/"]}
    form = sim.jwt_form(
        scope=f"{sim.scope()} offline_access",
        assertion=sim.assertion(ADMIN, **claims),
        client_assertion=sim.assertion(sim.client_id, **claims),
    )
    sim.control.settings(basic_encoding="either")
    refreshed(sim, sim.token(form).json())
