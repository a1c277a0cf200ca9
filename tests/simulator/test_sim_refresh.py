"""Refresh tokens: rotation, replay, revocation, introspection; and the device flow."""

from __future__ import annotations

import re
from typing import Any

import pytest
import requests

from tests.simulator.sim_caller import ADMIN, DEVICE_CODE, Caller


def signed_in(sim: Caller) -> dict[str, Any]:
    reply = sim.token(sim.jwt_form(scope=f"{sim.scope()} offline_access"))
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def refresh(sim: Caller, token: str, **changes: str) -> requests.Response:
    return sim.token({"grant_type": "refresh_token", "refresh_token": token, **changes}, auth=sim.basic)


def error(reply: requests.Response) -> tuple[str, str]:
    assert reply.status_code == 400, reply.text
    return reply.json()["error"], reply.json()["error_description"]


def introspect(sim: Caller, token: str) -> dict[str, Any]:
    return dict(sim.identity("/oauth2/v1/introspect", {"token": token}, auth=sim.basic).json())


def test_refresh_tokens_need_encoding_and_rotate(sim: Caller) -> None:
    first = signed_in(sim)["refresh_token"]
    assert {"+", "/", "="} <= set(first)
    second = refresh(sim, first).json()["refresh_token"]
    third = refresh(sim, second, scope=f"{sim.scope()} offline_access").json()
    assert len({first, second, third["refresh_token"]}) == 3
    assert sim.oac("GET", "/system", token=third["access_token"]).status_code == 200


def test_replay_kills_the_family(sim: Caller) -> None:
    first = signed_in(sim)["refresh_token"]
    second = refresh(sim, first).json()["refresh_token"]
    other_family = signed_in(sim)["refresh_token"]
    assert error(refresh(sim, first)) == ("invalid_grant", "The token has already been consumed")
    assert error(refresh(sim, second)) == ("invalid_grant", "The refresh token has been revoked.")
    assert refresh(sim, other_family).status_code == 200


def test_refresh_may_not_widen(sim: Caller) -> None:
    first = signed_in(sim)["refresh_token"]
    assert error(refresh(sim, first, scope=sim.scope("prod")))[0] == "invalid_scope"
    assert refresh(sim, first).status_code == 200, "a refused request consumes nothing"


def test_no_refresh_token_unless_asked_for(sim: Caller) -> None:
    assert "refresh_token" not in sim.token(sim.jwt_form()).json()
    sim.control.settings(app={"grants": ["jwt-bearer", "client_credentials"]})
    assert "refresh_token" not in signed_in(sim)


def test_refresh_ends_with_the_user(sim: Caller) -> None:
    first = signed_in(sim)["refresh_token"]
    sim.control.user(ADMIN, active=False)
    assert error(refresh(sim, first)) == ("invalid_grant", "The user is not active.")


def test_refresh_token_expires(sim: Caller) -> None:
    sim.control.settings(refresh_token_ttl=60)
    first = signed_in(sim)["refresh_token"]
    sim.control.settings(clock_offset=61.0)
    assert error(refresh(sim, first)) == ("invalid_grant", "The refresh token has expired.")


def test_rotation_is_a_setting(sim: Caller) -> None:
    first = signed_in(sim)["refresh_token"]
    sim.control.settings(refresh_rotation="reuse")
    assert refresh(sim, first).json()["refresh_token"] == first
    sim.control.settings(refresh_rotation="omit")
    assert "refresh_token" not in refresh(sim, first).json()
    assert refresh(sim, first).status_code == 200


def test_revoke_and_introspect(sim: Caller) -> None:
    tokens = signed_in(sim)
    shown = introspect(sim, tokens["access_token"])
    assert shown["active"] is True
    assert shown["sub"] == ADMIN
    assert introspect(sim, tokens["refresh_token"])["active"] is True
    for token in (tokens["refresh_token"], tokens["access_token"], "nonsense"):
        reply = sim.identity("/oauth2/v1/revoke", {"token": token}, auth=sim.basic)
        assert (reply.status_code, reply.content) == (200, b"")
        assert introspect(sim, token) == {"active": False}
    assert error(refresh(sim, tokens["refresh_token"]))[0] == "invalid_grant"
    assert sim.oac("GET", "/system", token=tokens["access_token"]).status_code == 401
    unknown = sim.identity("/oauth2/v1/introspect", {"token": "x"})
    assert (unknown.status_code, unknown.json()["error"]) == (401, "invalid_client")


# ------------------------------------------------------------------------------------------- device flow


def begin(sim: Caller, client_id: str | None = None) -> dict[str, Any]:
    form = {"response_type": "device_code", "scope": f"{sim.scope()} offline_access"}
    reply = sim.identity("/oauth2/v1/device", {**form, "client_id": client_id or sim.client_id})
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def poll(sim: Caller, device_code: str) -> requests.Response:
    secret = {"client_id": sim.client_id, "client_secret": sim.ready["client_secret"]}
    return sim.token({"grant_type": DEVICE_CODE, "device_code": device_code, **secret})


def test_a_person_approves_on_the_page(sim: Caller) -> None:
    codes = begin(sim)
    assert error(poll(sim, codes["device_code"]))[0] == "authorization_pending"
    with requests.Session() as browser:
        browser.trust_env = False
        page = browser.get(codes["verification_uri"], timeout=20)
        csrf = re.search(r'name=csrf value="([^"]+)"', page.text)
        assert csrf is not None
        form = {
            "csrf": csrf[1], "user_code": codes["user_code"].lower(), "action": "approve",
            "username": "oac.federated@example.com", "password": "wrong",
        }  # fmt: skip
        wrong = browser.post(codes["verification_uri"], data=form, timeout=20)
        assert wrong.status_code == 400
        assert "user name or password is incorrect" in wrong.text
        fresh = re.search(r'name=csrf value="([^"]+)"', wrong.text)
        assert fresh is not None
        form |= {"csrf": fresh[1], "password": sim.ready["users"][form["username"]]}
        done = browser.post(codes["verification_uri"], data=form, timeout=20)
        assert "was approved" in done.text
    tokens = poll(sim, codes["device_code"]).json()
    assert tokens["refresh_token"]
    assert introspect(sim, tokens["access_token"])["sub"] == "oac.federated@example.com"
    assert error(poll(sim, codes["device_code"]))[0] == "invalid_grant"


def test_the_page_refuses_posts_from_elsewhere_and_escapes(sim: Caller) -> None:
    codes = begin(sim)
    form = {
        "user_code": codes["user_code"], "username": ADMIN, "password": sim.ready["users"][ADMIN],
        "action": "approve", "csrf": "guess",
    }  # fmt: skip
    assert sim.session.post(codes["verification_uri"], data=form, timeout=20).status_code == 403
    sim.session.cookies.clear()
    assert error(poll(sim, codes["device_code"]))[0] == "authorization_pending"
    nasty = sim.session.get(codes["verification_uri"], params={"user_code": '"><script>'}, timeout=20)
    assert "<script>" not in nasty.text


def test_denied_expired_and_too_fast(sim: Caller) -> None:
    codes = begin(sim)
    assert error(poll(sim, codes["device_code"]))[0] == "authorization_pending"
    assert error(poll(sim, codes["device_code"]))[0] == "slow_down"
    sim.control.approve_device(codes["user_code"], approve=False)
    assert error(poll(sim, codes["device_code"]))[0] == "access_denied"
    late = begin(sim)
    sim.control.settings(clock_offset=301.0)
    assert error(poll(sim, late["device_code"]))[0] == "expired_token"
    assert error(poll(sim, "unknown"))[0] == "invalid_grant"


def test_interval_is_sent_when_told(sim: Caller) -> None:
    sim.control.settings(device_send_interval=True, device_interval=0)
    codes = begin(sim)
    assert codes["interval"] == 0
    for _ in range(3):
        assert error(poll(sim, codes["device_code"]))[0] == "authorization_pending"


def test_public_client_needs_no_secret(sim: Caller) -> None:
    public = sim.ready["public_client_id"]
    codes = begin(sim, public)
    sim.control.approve_device(codes["user_code"])
    form = {"grant_type": DEVICE_CODE, "device_code": codes["device_code"], "client_id": public}
    tokens = sim.token(form).json()
    renewed = sim.token({"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": public})
    assert renewed.status_code == 200
    stolen = sim.token(
        {"grant_type": "refresh_token", "refresh_token": renewed.json()["refresh_token"]}, auth=sim.basic
    )
    assert error(stolen)[0] == "invalid_grant"


@pytest.mark.parametrize("change", [{"response_type": "code"}, {"client_id": "x"}, {"scope": "x"}])
def test_device_start_is_checked(sim: Caller, change: dict[str, str]) -> None:
    form = {"response_type": "device_code", "scope": sim.scope(), "client_id": sim.client_id}
    reply = sim.identity("/oauth2/v1/device", {**form, **change})
    expected = {"response_type": "invalid_request", "client_id": "invalid_client", "scope": "invalid_scope"}
    assert reply.json()["error"] == expected[next(iter(change))]
