"""The token endpoint: every grant, every way to authenticate, every error."""

from __future__ import annotations

import hashlib
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import jwt
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from tests.simulator.sim_caller import ADMIN, ASSERTION_TYPE, JWT_BEARER, Caller


def refused(reply: requests.Response, error: str, text: str, status: int = 400) -> None:
    body = reply.json()
    assert (reply.status_code, body["error"]) == (status, error), body
    assert text.lower() in body["error_description"].lower()
    assert body["ecId"] == reply.headers["X-ORACLE-DMS-ECID"]
    assert reply.headers["Content-Type"] == "application/json;charset=utf-8"
    assert reply.headers["Cache-Control"] == "no-store"
    assert "access_token" not in body


def claims(reply: requests.Response) -> dict[str, Any]:
    assert reply.status_code == 200, reply.text
    token = reply.json()["access_token"]
    return dict(jwt.decode(token, options={"verify_signature": False}))


def test_jwt_bearer_with_two_assertions(sim: Caller) -> None:
    reply = sim.token(sim.jwt_form())
    body = reply.json()
    assert body.keys() == {"access_token", "token_type", "expires_in"}
    assert reply.headers["Cache-Control"] == "no-store"
    found = claims(reply)
    assert found["sub"] == ADMIN
    assert found["sub_type"] == "user"
    assert found["exp"] - found["iat"] == 100
    assert sim.ready["instances"]["dev"]["url"] in found["aud"]


def test_jwt_bearer_with_secret(sim: Caller) -> None:
    form = {"grant_type": JWT_BEARER, "scope": sim.scope(), "assertion": sim.assertion(ADMIN)}
    assert sim.token(form, auth=sim.basic).status_code == 200
    body = {**form, "client_id": sim.client_id, "client_secret": sim.ready["client_secret"]}
    assert sim.token(body).status_code == 200


def test_federated_user_by_assertion_but_not_by_password(sim: Caller) -> None:
    user = "oac.federated@example.com"
    assert claims(sim.token(sim.jwt_form(user)))["sub"] == user
    refused(sim.token(sim.password_form(user), auth=sim.basic), "invalid_grant", "incorrect user name")


def test_audience_forms(sim: Caller) -> None:
    for audience in (["https://identity.oraclecloud.com/"], sim.ready["identity_url"]):
        form = sim.jwt_form(assertion=sim.assertion(ADMIN, aud=audience))
        assert sim.token(form).status_code == 200
    sim.control.settings(accepted_audiences=[sim.ready["identity_url"]])
    refused(sim.token(sim.jwt_form()), "invalid_grant", "Audience validation failed")


def test_certificate_by_thumbprint(sim: Caller) -> None:
    certificate = x509.load_pem_x509_certificate(Path(sim.ready["certificate_file"]).read_bytes())
    der = certificate.public_bytes(Encoding.DER)
    for name, digest in (("x5t", hashlib.sha1(der).digest()), ("x5t#S256", hashlib.sha256(der).digest())):  # noqa: S324
        for thumbprint in (urlsafe_b64encode(digest).decode(), urlsafe_b64encode(digest).decode().rstrip("=")):
            header = {"kid": None, name: thumbprint}
            form = sim.jwt_form(assertion=sim.assertion(ADMIN, header=header))
            # PyJWT writes the None away, so the header names the certificate by its thumbprint alone.
            assert sim.token(form).status_code == 200


def test_client_credentials_give_a_token_without_a_user(sim: Caller) -> None:
    reply = sim.token({"grant_type": "client_credentials", "scope": sim.scope()}, auth=sim.basic)
    assert claims(reply)["sub_type"] == "client"


BAD_ASSERTIONS: list[tuple[str, Callable[[Caller], dict[str, str]], str, str, int]] = [
    ("unknown user", lambda s: s.jwt_form("nobody@example.com"), "invalid_grant", "does not exist", 400),
    ("inactive user", lambda s: s.jwt_form("oac.inactive@example.com"), "invalid_grant", "not active", 400),
    (
        "audience",
        lambda s: s.jwt_form(assertion=s.assertion(ADMIN, aud="https://elsewhere.example/")),
        "invalid_grant", "Audience validation failed", 400,
    ),
    (
        "expired",
        lambda s: s.jwt_form(assertion=s.assertion(ADMIN, exp=int(time.time()) - 120)),
        "invalid_request", "expired", 400,
    ),
    (
        "from the future",
        lambda s: s.jwt_form(assertion=s.assertion(ADMIN, iat=int(time.time()) + 600)),
        "invalid_request", "not valid yet", 400,
    ),
    ("no expiry", lambda s: s.jwt_form(assertion=s.assertion(ADMIN, exp=None)), "invalid_request", "expiry", 400),
    (
        "alias in another case",
        lambda s: s.jwt_form(assertion=s.assertion(ADMIN, header={"kid": "AIRFLOW"})),
        "server_error", "system error", 400,
    ),
    (
        "no alias and no thumbprint",
        lambda s: s.jwt_form(client_assertion=s.assertion(s.client_id, header={"kid": None})),
        "server_error", "system error", 400,
    ),
    ("not a JWT", lambda s: s.jwt_form(assertion="abc"), "invalid_request", "well-formed", 400),
    (
        "user assertion in place of the client's",
        lambda s: s.jwt_form(client_assertion=s.assertion(ADMIN)),
        "invalid_client", "not the client", 401,
    ),
    (
        "issuer of the user assertion",
        lambda s: s.jwt_form(assertion=s.assertion(ADMIN, iss="someone")),
        "invalid_client", "issuer", 401,
    ),
    (
        "unknown client",
        lambda s: s.jwt_form(client_assertion=s.assertion("someone", iss="someone")),
        "invalid_client", "authentication failed", 401,
    ),
    ("scope", lambda s: s.jwt_form(scope="https://otherurn:opc:resource:consumer::all"), "invalid_scope", "", 400),
    ("bare scope", lambda s: s.jwt_form(scope="urn:opc:resource:consumer::all"), "invalid_scope", "", 400),
    (
        "mixed scopes",
        lambda s: s.jwt_form(scope=f"{s.scope()} urn:opc:resource:consumer::all"),
        "invalid_scope", "", 400,
    ),
    ("grant type", lambda s: s.jwt_form(grant_type="magic"), "unsupported_grant_type", "", 400),
    (
        "assertion type",
        lambda s: s.jwt_form(client_assertion_type="jwt"),
        "invalid_request", ASSERTION_TYPE, 400,
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("form", "error", "text", "status"),
    [case[1:] for case in BAD_ASSERTIONS],
    ids=[case[0] for case in BAD_ASSERTIONS],
)
def test_bad_assertions(
    sim: Caller, form: Callable[[Caller], dict[str, str]], error: str, text: str, status: int
) -> None:
    refused(sim.token(form(sim)), error, text, status)


def test_signature_of_another_key(sim: Caller) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    good = jwt.decode(sim.assertion(ADMIN), options={"verify_signature": False})
    forged = jwt.encode(good, other, algorithm="RS256", headers={"kid": sim.ready["certificate_alias"]})
    refused(sim.token(sim.jwt_form(assertion=forged)), "invalid_request", "signature")


def test_another_algorithm(sim: Caller) -> None:
    good = jwt.decode(sim.assertion(ADMIN), options={"verify_signature": False})
    key = Path(sim.ready["private_key_file"]).read_text()
    for algorithm in ("RS512", "PS256"):
        other = jwt.encode(good, key, algorithm=algorithm, headers={"kid": sim.ready["certificate_alias"]})
        refused(sim.token(sim.jwt_form(assertion=other)), "invalid_request", "RS256")
    unsigned = jwt.encode(good, None, algorithm="none", headers={"kid": sim.ready["certificate_alias"]})
    refused(sim.token(sim.jwt_form(assertion=unsigned)), "invalid_request", "RS256")


def test_application_settings(sim: Caller) -> None:
    app = sim.control.settings()["app"]
    sim.control.settings(app={"active": False})
    refused(sim.token(sim.jwt_form()), "invalid_client", "OAuth Client app is inactive", 401)
    sim.control.settings(app={"active": True, "certificates": {}})
    refused(sim.token(sim.jwt_form()), "invalid_client", "No certificate", 401)
    sim.control.settings(app={"certificates": app["certificates"], "grants": ["jwt-bearer"]})
    refused(sim.token(sim.jwt_form()), "server_error", "system error")
    refused(sim.token(sim.password_form(), auth=sim.basic), "unauthorized_client", "not allowed")
    sim.control.settings(app={"grants": app["grants"], "allowed_scopes": [sim.scope("prod")]})
    refused(sim.token(sim.jwt_form()), "invalid_scope", "")
    assert sim.token(sim.jwt_form(scope=sim.scope("prod"))).status_code == 200


def test_system_error_can_be_a_500(sim: Caller) -> None:
    sim.control.settings(system_error_status=500)
    form = sim.jwt_form(assertion=sim.assertion(ADMIN, header={"kid": "other"}))
    refused(sim.token(form), "server_error", "system error", 500)


def test_replayed_assertion_is_found_when_told_to_look(sim: Caller) -> None:
    form = sim.jwt_form()
    assert sim.token(form).status_code == 200
    assert sim.token(form).status_code == 200
    sim.control.settings(check_jti=True)
    form = sim.jwt_form()
    assert sim.token(form).status_code == 200
    refused(sim.token(form), "invalid_grant", "already been used")


def test_longest_assertion(sim: Caller) -> None:
    form = sim.jwt_form(assertion=sim.assertion(ADMIN, exp=int(time.time()) + 3600))
    assert sim.token(form).status_code == 200
    sim.control.settings(max_assertion_lifetime=300)
    form["client_assertion"] = sim.assertion(sim.client_id)
    refused(sim.token(form), "invalid_request", "too long")


def test_clock_that_is_off_shows_in_the_date_header(sim: Caller) -> None:
    sim.control.settings(clock_offset=3600.0)
    reply = sim.token(sim.jwt_form())
    refused(reply, "invalid_request", "expired")
    real = sim.session.get(sim.ready["control_url"] + "/settings", timeout=20)
    apart = parsedate_to_datetime(reply.headers["Date"]) - parsedate_to_datetime(real.headers["Date"])
    assert 3590 <= apart.total_seconds() <= 3610


def test_basic_needs_form_encoding(sim: Caller) -> None:
    form = sim.password_form()
    assert sim.token(form, auth=sim.basic).status_code == 200
    plain = (sim.client_id, sim.ready["client_secret"])
    reply = sim.token(form, auth=plain)
    refused(reply, "invalid_client", "authentication failed", 401)
    assert reply.headers["WWW-Authenticate"].startswith("Basic")
    sim.control.settings(basic_encoding="either")
    assert sim.token(form, auth=plain).status_code == 200


def test_wrong_client(sim: Caller) -> None:
    form = sim.password_form()
    refused(sim.token(form, auth=(sim.basic[0], "wrong")), "invalid_client", "failed", 401)
    refused(sim.token(form, auth=("nobody", "wrong")), "invalid_client", "failed", 401)
    refused(sim.token(form), "invalid_client", "failed", 401)
    refused(sim.token({**form, "client_id": sim.client_id}), "invalid_client", "failed", 401)
    secret = {"client_id": sim.client_id, "client_secret": "wrong"}
    refused(sim.token({**form, **secret}), "invalid_client", "failed", 401)
    both = {"client_id": sim.client_id, "client_secret": sim.ready["client_secret"]}
    refused(sim.token({**form, **both}, auth=sim.basic), "invalid_request", "more than one way")


def test_password_grant(sim: Caller) -> None:
    assert claims(sim.token(sim.password_form(), auth=sim.basic))["sub"] == ADMIN
    wrong = sim.password_form(password="wrong")
    refused(sim.token(wrong, auth=sim.basic), "invalid_grant", "incorrect user name or password")
    inactive = sim.password_form("oac.inactive@example.com")
    refused(sim.token(inactive, auth=sim.basic), "invalid_grant", "not active")
    sim.control.user("oac.inactive@example.com", active=True)
    assert sim.token(inactive, auth=sim.basic).status_code == 200


def test_malformed_posts(sim: Caller) -> None:
    url = sim.ready["identity_url"] + "/oauth2/v1/token"
    refused(sim.session.post(url, json=sim.password_form(), timeout=20), "invalid_request", "content type")
    twice = "grant_type=password&grant_type=password"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    refused(sim.session.post(url, data=twice, headers=headers, timeout=20), "invalid_request", "repeated")
    refused(sim.token({"scope": "x"}), "invalid_request", "grant_type")
    assert sim.session.get(url, timeout=20).status_code == 405


def test_token_life_is_a_setting(sim: Caller) -> None:
    sim.control.settings(access_token_ttl=7)
    reply = sim.token(sim.jwt_form())
    assert reply.json()["expires_in"] == 7
    assert claims(reply)["exp"] - claims(reply)["iat"] == 7


def test_counters_per_grant(sim: Caller) -> None:
    sim.token(sim.jwt_form())
    sim.token(sim.jwt_form("nobody"))
    sim.token(sim.password_form(), auth=sim.basic)
    counters = sim.control.counters()
    assert counters["grants"] == {"jwt-bearer": 2, "password": 1}
    assert counters["issued"] == {"jwt-bearer": 1, "password": 1}
    assert sim.control.calls("identity", "token") == 3
    assert counters["connections"]["identity"]["accepted"] == 1


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


def test_secret_really_needs_encoding(sim: Caller) -> None:
    secret = sim.ready["client_secret"]
    assert quote_plus(secret) != secret


def test_the_ledger_holds_what_was_sent_and_what_was_issued(sim: Caller) -> None:
    form = {"grant_type": JWT_BEARER, "scope": sim.scope(), "assertion": sim.assertion(ADMIN)}
    token = sim.token({**form, "client_id": sim.client_id, "client_secret": "wrong"}, auth=None).json()
    assert "access_token" not in token
    issued = sim.token(form, auth=sim.basic).json()["access_token"]
    seen = {item["value"]: item["name"] for item in sim.control.secrets()["seen"]}
    assert seen[form["assertion"]] == "assertion"
    assert seen["wrong"] == "client_secret"
    assert seen[issued] == "access_token"
    assert sim.control.secrets()["forgotten"] == 0
