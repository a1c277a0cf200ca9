"""Refresh tokens: rotation, replay, revocation, introspection; and the device flow."""

from __future__ import annotations

import re
from typing import Any

import requests

from tests.simulator.sim_caller import ADMIN, DEVICE_CODE, FEDERATED, Caller


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
    assert sim.status("GET /system", token=third["access_token"]) == 200


def test_a_replay_ends_the_family(sim: Caller) -> None:
    first, other_family = (signed_in(sim)["refresh_token"] for _ in range(2))
    second = refresh(sim, first).json()["refresh_token"]
    assert error(refresh(sim, first)) == ("invalid_grant", "The token has already been consumed")
    assert error(refresh(sim, second)) == ("invalid_grant", "The refresh token has been revoked.")
    assert refresh(sim, other_family).status_code == 200


def test_a_refresh_may_not_widen_and_then_consumes_nothing(sim: Caller) -> None:
    first = signed_in(sim)["refresh_token"]
    assert error(refresh(sim, first, scope=sim.scope("prod")))[0] == "invalid_scope"
    assert refresh(sim, first).status_code == 200


def test_no_refresh_token_unless_the_scope_and_the_application_have_it(sim: Caller) -> None:
    assert "refresh_token" not in sim.token(sim.jwt_form()).json()
    sim.control.settings(app={"grants": ["jwt-bearer", "client_credentials"]})
    assert "refresh_token" not in signed_in(sim)


def test_a_refresh_token_ends_with_its_time_and_with_its_user(sim: Caller) -> None:
    sim.control.settings(refresh_token_ttl=60)
    first = signed_in(sim)["refresh_token"]
    sim.control.settings(clock_offset=61.0)
    assert error(refresh(sim, first)) == ("invalid_grant", "The refresh token has expired.")
    sim.control.settings(clock_offset=0.0)
    sim.control.user(ADMIN, active=False)
    assert error(refresh(sim, first)) == ("invalid_grant", "The user is not active.")


def test_revoke_and_introspect(sim: Caller) -> None:
    tokens = signed_in(sim)
    shown = introspect(sim, tokens["access_token"])
    assert (shown["active"], shown["sub"]) == (True, ADMIN)
    assert introspect(sim, tokens["refresh_token"])["active"] is True
    for token in (tokens["refresh_token"], tokens["access_token"], "nonsense"):
        reply = sim.identity("/oauth2/v1/revoke", {"token": token}, auth=sim.basic)
        assert (reply.status_code, reply.content) == (200, b"")
        assert introspect(sim, token) == {"active": False}
    assert error(refresh(sim, tokens["refresh_token"]))[0] == "invalid_grant"
    assert sim.status("GET /system", token=tokens["access_token"]) == 401
    assert sim.identity("/oauth2/v1/introspect", {"token": "x"}).json()["error"] == "invalid_client"


# ------------------------------------------------------------------------------------------- device flow


def start(sim: Caller, **changes: str) -> dict[str, Any]:
    form = {"response_type": "device_code", "scope": f"{sim.scope()} offline_access", "client_id": sim.client_id}
    return dict(sim.identity("/oauth2/v1/device", {**form, **changes}).json())


def poll(sim: Caller, device_code: str) -> requests.Response:
    secret = {"client_id": sim.client_id, "client_secret": sim.ready["client_secret"]}
    return sim.token({"grant_type": DEVICE_CODE, "device_code": device_code, **secret})


def test_a_person_approves_on_the_page(sim: Caller) -> None:
    codes = start(sim)
    assert error(poll(sim, codes["device_code"]))[0] == "authorization_pending"
    url, form = codes["verification_uri"], {"user_code": codes["user_code"].lower(), "action": "approve"}
    form |= {"username": FEDERATED, "password": "wrong"}
    with requests.Session() as browser:
        browser.trust_env = False
        page = browser.get(url, timeout=20)
        for password, said in (("wrong", "user name or password is incorrect"), ("", "was approved")):
            [csrf] = re.findall(r'name=csrf value="([^"]+)"', page.text)
            form |= {"csrf": csrf, "password": password or sim.ready["users"][FEDERATED]}
            page = browser.post(url, data=form, timeout=20)
            assert (said in page.text, page.status_code) == (True, 400 if password else 200)
    tokens = poll(sim, codes["device_code"]).json()
    assert tokens["refresh_token"]
    assert introspect(sim, tokens["access_token"])["sub"] == FEDERATED
    assert error(poll(sim, codes["device_code"]))[0] == "invalid_grant"


def test_the_page_refuses_posts_from_elsewhere_and_escapes(sim: Caller) -> None:
    codes = start(sim)
    form = {"user_code": codes["user_code"], "username": ADMIN, "password": sim.ready["users"][ADMIN]}
    form |= {"action": "approve", "csrf": "guess"}
    assert sim.session.post(codes["verification_uri"], data=form, timeout=20).status_code == 403
    sim.session.cookies.clear()
    assert error(poll(sim, codes["device_code"]))[0] == "authorization_pending"
    nasty = sim.session.get(codes["verification_uri"], params={"user_code": '"><script>'}, timeout=20)
    assert "<script>" not in nasty.text


def test_a_code_is_denied_expires_and_may_be_polled_too_fast(sim: Caller) -> None:
    codes = start(sim)
    wrong = ({"response_type": "code"}, {"client_id": "x"}, {"scope": "x"})
    errors = [start(sim, **changes)["error"] for changes in wrong]
    assert errors == ["invalid_request", "invalid_client", "invalid_scope"]
    assert codes.keys() == {"device_code", "user_code", "verification_uri", "expires_in"}
    assert codes["verification_uri"] == f"{sim.ready['identity_url']}/ui/v1/device"
    assert (codes["expires_in"], len(codes["user_code"])) == (300, 8)
    assert error(poll(sim, codes["device_code"]))[0] == "authorization_pending"
    assert error(poll(sim, codes["device_code"]))[0] == "slow_down"
    sim.control.approve_device(codes["user_code"], approve=False)
    assert error(poll(sim, codes["device_code"]))[0] == "access_denied"
    late = start(sim)
    sim.control.settings(clock_offset=301.0)
    assert error(poll(sim, late["device_code"]))[0] == "expired_token"
    assert error(poll(sim, "unknown"))[0] == "invalid_grant"
    sim.control.settings(device_send_interval=True, device_interval=0)
    eager = start(sim)
    assert eager["interval"] == 0
    assert [error(poll(sim, eager["device_code"]))[0] for _ in range(2)] == ["authorization_pending"] * 2


def test_a_public_client_needs_no_secret(sim: Caller) -> None:
    public = {"client_id": sim.ready["public_client_id"]}
    codes = start(sim, **public)
    sim.control.approve_device(codes["user_code"])
    tokens = sim.token({"grant_type": DEVICE_CODE, "device_code": codes["device_code"], **public}).json()
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    renewed = sim.token({**form, **public}).json()
    assert error(refresh(sim, renewed["refresh_token"]))[0] == "invalid_grant", "it belongs to the other client"
