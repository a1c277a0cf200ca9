"""The token endpoint: every grant, every way to authenticate, every error."""

from __future__ import annotations

import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from tests.simulator.sim_caller import ADMIN, ASSERTION_TYPE, FEDERATED, INACTIVE, JWT_BEARER, Caller

Send = Callable[[Caller], requests.Response]


def by_user(sim: Caller, user: str = ADMIN, **claims: Any) -> requests.Response:
    """Sign in with another assertion of the user."""
    return sim.token(sim.jwt_form(assertion=sim.assertion(user, **claims)))


def by_client(sim: Caller, subject: str | None = None, **claims: Any) -> requests.Response:
    """Sign in with another assertion of the client."""
    return sim.token(sim.jwt_form(client_assertion=sim.assertion(subject or sim.client_id, **claims)))


def signed(sim: Caller, key: Any, algorithm: str) -> requests.Response:
    """Sign in with the claims of a good assertion, signed in another way."""
    claims = jwt.decode(sim.assertion(ADMIN), options={"verify_signature": False})
    header = {"kid": sim.ready["certificate_alias"]}
    return sim.token(sim.jwt_form(assertion=jwt.encode(claims, key, algorithm=algorithm, headers=header)))


def form(sim: Caller, **changes: str) -> requests.Response:
    return sim.token(sim.jwt_form(**changes))


def password(sim: Caller, user: str = ADMIN, **changes: str) -> requests.Response:
    return sim.token(sim.password_form(user, **changes), auth=sim.basic)


def secret(sim: Caller, **members: str) -> requests.Response:
    """Send the client's id and secret in the body."""
    return sim.token({**sim.password_form(), **members})


def user_assertion(sim: Caller) -> dict[str, str]:
    return {"grant_type": JWT_BEARER, "scope": sim.scope(), "assertion": sim.assertion(ADMIN)}


def private_key(sim: Caller) -> str:
    return Path(sim.ready["private_key_file"]).read_text()


def by_thumbprint(sim: Caller) -> requests.Response:
    """Name the certificate by its SHA-256 instead of its alias."""
    certificate = x509.load_pem_x509_certificate(Path(sim.ready["certificate_file"]).read_bytes())
    text = urlsafe_b64encode(certificate.fingerprint(SHA256())).decode()
    return by_user(sim, header={"kid": None, "x5t#S256": text.rstrip("=")})


def claims(reply: requests.Response) -> dict[str, Any]:
    assert reply.status_code == 200, reply.text
    return dict(jwt.decode(reply.json()["access_token"], options={"verify_signature": False}))


def refused(reply: requests.Response, error: str, text: str, status: int = 400) -> None:
    body = reply.json()
    assert (reply.status_code, body["error"]) == (401 if error == "invalid_client" else status, error), body
    assert text.lower() in body["error_description"].lower()
    assert body["ecId"] == reply.headers["X-ORACLE-DMS-ECID"]
    assert reply.headers["Content-Type"] == "application/json;charset=utf-8"
    assert reply.headers["Cache-Control"] == "no-store"
    assert "access_token" not in body


ACCEPTED: dict[str, Send] = {
    "assertion and Basic": lambda s: s.token(user_assertion(s), auth=s.basic),
    "assertion and a secret in the body": lambda s: s.token(
        {**user_assertion(s), "client_id": s.client_id, "client_secret": s.ready["client_secret"]}
    ),
    "password": password,
    "audience is the URL": lambda s: by_user(s, aud=s.ready["identity_url"]),
    "SHA-256 thumbprint": by_thumbprint,
}


@pytest.mark.parametrize("send", ACCEPTED.values(), ids=ACCEPTED)
def test_ways_to_sign_in(sim: Caller, send: Send) -> None:
    assert claims(send(sim))["sub"] == ADMIN


#: A name, the request, the error, and words of its description. More are in tests/integration/test_sign_in.py.
REFUSED: list[tuple[str, Send, str, str]] = [
    ("expired", lambda s: by_user(s, exp=int(time.time()) - 120), "invalid_request", "expired"),
    ("from the future", lambda s: by_user(s, iat=int(time.time()) + 600), "invalid_request", "not valid yet"),
    ("no expiry", lambda s: by_user(s, exp=None), "invalid_request", "expiry"),
    ("no alias, no thumbprint", lambda s: by_client(s, header={"kid": None}), "server_error", "system error"),
    ("not a JWT", lambda s: form(s, assertion="abc"), "invalid_request", "well-formed"),
    ("user assertion for the client", lambda s: by_client(s, ADMIN), "invalid_client", "not the client"),
    ("issuer of the user assertion", lambda s: by_user(s, iss="someone"), "invalid_client", "issuer"),
    ("unknown client", lambda s: by_client(s, "someone", iss="someone"), "invalid_client", "authentication failed"),
    ("RS512", lambda s: signed(s, private_key(s), "RS512"), "invalid_request", "RS256"),
    ("PS256", lambda s: signed(s, private_key(s), "PS256"), "invalid_request", "RS256"),
    ("unsigned", lambda s: signed(s, None, "none"), "invalid_request", "RS256"),
    ("bare scope", lambda s: form(s, scope="urn:opc:resource:consumer::all"), "invalid_scope", ""),
    ("mixed scopes", lambda s: form(s, scope=f"{s.scope()} urn:opc:resource:consumer::all"), "invalid_scope", ""),
    ("grant type", lambda s: form(s, grant_type="magic"), "unsupported_grant_type", ""),
    ("no grant type", lambda s: s.token({"scope": "x"}), "invalid_request", "grant_type"),
    ("assertion type", lambda s: form(s, client_assertion_type="jwt"), "invalid_request", ASSERTION_TYPE),
    ("password, inactive user", lambda s: password(s, INACTIVE), "invalid_grant", "not active"),
    ("no client", secret, "invalid_client", "failed"),
    ("no secret", lambda s: secret(s, client_id=s.client_id), "invalid_client", "failed"),
    ("wrong secret in the body", lambda s: secret(s, client_id=s.client_id, client_secret="x"), "invalid_client", ""),
    ("two secrets", lambda s: s.token({**s.password_form(), "client_id": s.client_id, "client_secret": "x"},
                                      auth=s.basic), "invalid_request", "more than one way"),
    ("JSON", lambda s: s.session.post(s.ready["identity_url"] + "/oauth2/v1/token", json={}, timeout=20),
     "invalid_request", "content type"),
    ("repeated member", lambda s: s.token([("grant_type", "password")] * 2), "invalid_request", "repeated"),
]  # fmt: skip


@pytest.mark.parametrize(("send", "error", "text"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_refused(sim: Caller, send: Send, error: str, text: str) -> None:
    refused(send(sim), error, text)


def test_audiences_and_lifetimes_are_settings(sim: Caller) -> None:
    sim.control.settings(accepted_audiences=[sim.ready["identity_url"]])
    refused(form(sim), "invalid_grant", "Audience validation failed")
    sim.control.settings(accepted_audiences=[], max_assertion_lifetime=300)
    refused(by_user(sim, exp=int(time.time()) + 3600), "invalid_request", "too long")


def test_an_access_token(sim: Caller) -> None:
    reply = form(sim)
    assert reply.json().keys() == {"access_token", "token_type", "expires_in"}
    assert reply.headers["Cache-Control"] == "no-store"
    found = claims(reply)
    assert (found["sub"], found["sub_type"], found["exp"] - found["iat"]) == (ADMIN, "user", 100)
    assert sim.ready["instances"]["dev"]["url"] in found["aud"]
    sim.control.settings(access_token_ttl=7, app={"allowed_scopes": [sim.scope("prod")]})
    reply = form(sim, scope=sim.scope("prod"))
    assert (reply.json()["expires_in"], claims(reply)["exp"] - claims(reply)["iat"]) == (7, 7)


def test_a_token_without_a_user(sim: Caller) -> None:
    reply = sim.token({"grant_type": "client_credentials", "scope": sim.scope()}, auth=sim.basic)
    assert claims(reply)["sub_type"] == "client"
    called = sim.oac("GET", "/system", token=reply.json()["access_token"])
    assert (called.status_code, called.json()["servlet"]) == (500, "PublicAPIJerseyServlet")


def test_users_that_may_sign_in(sim: Caller) -> None:
    assert claims(by_user(sim, FEDERATED))["sub"] == FEDERATED
    sim.control.user(INACTIVE, active=True)
    assert claims(password(sim, INACTIVE))["sub"] == INACTIVE


def test_a_system_error_can_be_a_500(sim: Caller) -> None:
    sim.control.settings(system_error_status=500)
    refused(by_user(sim, header={"kid": "other"}), "server_error", "system error", 500)


def test_a_replayed_assertion_is_refused_only_by_a_setting(sim: Caller) -> None:
    for check, second in ((False, 200), (True, 400)):
        sim.control.settings(check_jti=check)
        again = sim.jwt_form()
        assert [sim.token(again).status_code for _ in range(2)] == [200, second]
    refused(sim.token(again), "invalid_grant", "already been used")


def test_a_clock_that_is_off_shows_in_the_date_header(sim: Caller) -> None:
    sim.control.settings(clock_offset=3600.0)
    reply = form(sim)
    refused(reply, "invalid_request", "expired")
    real = sim.session.get(sim.ready["control_url"] + "/settings", timeout=20)
    apart = parsedate_to_datetime(reply.headers["Date"]) - parsedate_to_datetime(real.headers["Date"])
    assert 3590 <= apart.total_seconds() <= 3610


def test_basic_needs_form_encoding(sim: Caller) -> None:
    plain = (sim.client_id, sim.ready["client_secret"])
    assert plain != sim.basic
    reply = sim.token(sim.password_form(), auth=plain)
    refused(reply, "invalid_client", "authentication failed")
    assert reply.headers["WWW-Authenticate"].startswith("Basic")
    sim.control.settings(basic_encoding="either")
    assert sim.token(sim.password_form(), auth=plain).status_code == 200


def test_counters_and_the_ledger(sim: Caller) -> None:
    url, wrong = sim.ready["identity_url"] + "/oauth2/v1/token", user_assertion(sim)
    assert sim.session.get(url, timeout=20).status_code == 405
    assert sim.token({**wrong, "client_id": sim.client_id, "client_secret": "wrong"}).status_code == 401
    issued = form(sim).json()["access_token"]
    password(sim)
    counters = sim.control.counters()
    assert counters["grants"] == {"jwt-bearer": 2, "password": 1}
    assert counters["issued"] == {"jwt-bearer": 1, "password": 1}
    assert sim.control.calls("identity", "token") == 3
    assert counters["connections"]["identity"]["accepted"] == 1
    secrets = sim.control.secrets()
    seen = {item["value"]: item["name"] for item in secrets["seen"]}
    names = [seen[value] for value in (wrong["assertion"], "wrong", issued)]
    assert (names, secrets["forgotten"]) == (["assertion", "client_secret", "access_token"], 0)


def test_discovery_and_keys(sim: Caller) -> None:
    base = sim.ready["identity_url"]
    document = sim.session.get(base + "/.well-known/openid-configuration", timeout=20).json()
    assert document["issuer"] == "https://identity.oraclecloud.com/"
    wrapped = sim.session.get(base + "/.well-known/idcs-configuration", timeout=20).json()
    assert wrapped == {"openid-configuration": document}
    refused(sim.session.get(document["jwks_uri"], timeout=20), "invalid_token", "needed", 401)
    headers = {"Authorization": f"Bearer {sim.access_token()}"}
    keys = sim.session.get(document["jwks_uri"], headers=headers, timeout=20).json()
    key = jwt.PyJWK(keys["keys"][0])
    assert jwt.decode(sim.access_token(), key, algorithms=["RS256"], audience=sim.ready["instances"]["dev"]["url"])
    sim.control.settings(signing_cert_public=True)
    assert sim.session.get(document["jwks_uri"], timeout=20).json() == keys
