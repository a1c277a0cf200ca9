"""Reading the token service's refusals: texts that the simulator does not speak, and what must not be shown."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import fields, is_dataclass, replace
from email.utils import formatdate
from typing import Any

import pytest

from airflow_provider_oac import exceptions
from airflow_provider_oac.auth.errors import auth_error
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.token_endpoint import issued_by
from airflow_provider_oac.exceptions import OACAuthError, OACError
from tests.manual import response

NOW = 1_700_000_000.0
SETTINGS = AuthSettings(
    identity_url="https://idcs.example.com", client_id="the-client", scope="scope", user="jane",
    client_secret="client+secret/=", private_key="the-private-key", user_password="user&password",
)  # fmt: skip
ASSERTION = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJl-_x"


def explained(status: int, body: Any = None, headers: dict[str, str] | None = None, **changes: Any) -> OACAuthError:
    text = body if isinstance(body, str) else json.dumps(body or {})
    return auth_error(replace(SETTINGS, **changes), response(status, text, headers), NOW)


@pytest.mark.parametrize(
    ("name", "description", "cause", "next_step"),
    [
        ("invalid_client", "OAuth Client app is inactive", "application is not activated", "Activate"),
        ("invalid_grant", "User is inactive", "user is deactivated", "Open the user"),
        ("invalid_grant", "The token has already been consumed", "was used before", "Sign in again"),
        ("invalid_grant", "Audience validation failed", "audience", "assertion_audience"),
        ("server_error", "System error", "alias", "certificate_alias"),
        ("invalid_request", "Invalid signature", "does not match the imported certificate", "Import the certificate"),
        ("invalid_grant", "federated user", "another identity provider", "jwt_assertion"),
        ("invalid_client", None, "client secret", "login and password"),
        ("invalid_scope", None, "scope", "Copy the scope"),
        ("unsupported_grant_type", None, "not ticked", "Tick JWT Assertion"),
        ("unauthorized_client", None, "not ticked", "Tick JWT Assertion"),
        ("invalid_grant", None, "user is missing", "user name"),
        ("invalid_request", "?", "malformed", "clock"),
    ],
)
def test_each_known_refusal_is_explained(name: str, description: str | None, cause: str, next_step: str) -> None:
    error = explained(400, {"error": name, "error_description": description})
    assert (error.error, error.description, error.status, error.retryable) == (name, description, 400, False)
    assert cause in (error.cause or "")
    assert next_step in (error.next_step or "")
    assert f"Likely cause: {error.cause}. Next step: {error.next_step}" in str(error)


@pytest.mark.parametrize(
    ("status", "cause", "retryable"),
    [
        (301, "redirect", False), (302, "redirect", False), (401, "rejects this application", False),
        (403, "rejects this application", False), (404, "no token service", False), (408, "unknown", True),
        (429, "too many token calls", True), (500, "internal error", True), (501, "internal error", False),
        (503, "internal error", True), (418, "unknown", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("body", ["", "<html>", "[]", "null", '"text"', '{"status": "x"}'])
def test_each_status_is_explained_whatever_the_body(status: int, cause: str, retryable: bool, body: str) -> None:
    error = explained(status, body)
    assert cause in (error.cause or "")
    assert (error.error, error.status, error.retryable) == (None, status, retryable)
    assert f"answered HTTP {status}" in str(error)


def test_the_names_of_user_and_client_are_shown_unless_they_may_be_secrets() -> None:
    ours = "0123456789abcdef" * 2
    shown = str(explained(401, client_id=ours, user="robot.1@example.com"))
    assert f"(grant jwt_assertion, client {ours}, user robot.1@example.com) failed" in shown
    swapped = str(explained(401, client_id="idcscs-0b1c2d3e-4f50", user="hunter", user_password="hunter"))
    assert "client a text of 20 characters (not shown: it may be a secret), user a text of 6 characters" in swapped
    assert not [secret for secret in ("idcscs", "hunter") if secret in swapped]


@pytest.mark.parametrize("error", ["server_error", "temporarily_unavailable"])
def test_what_oauth_calls_passing_is_passing(error: str) -> None:
    assert explained(400, {"error": error}).retryable


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({"error": "x", "ecid": "the-ecid"}, {}),
        ({"error": "x", "ecId": "the-ecid"}, {}),
        ({}, {"ecid": "the-ecid"}),
        ({"ecId": "another"}, {"x-oracle-dms-ecid": "the-ecid"}),
        ({}, {"opc-request-id": "the-ecid"}),
    ],
)
def test_the_ecid_is_found_in_every_likely_place(body: dict[str, str], headers: dict[str, str]) -> None:
    error = explained(400, body, headers)
    assert error.ecid == "the-ecid"
    assert "(ecid the-ecid)" in str(error)


def test_a_token_of_another_type_is_not_blamed_on_the_address() -> None:
    answer = response(200, json.dumps({"access_token": "x", "token_type": "DPoP"}))
    with pytest.raises(OACAuthError, match=r"of the type 'DPoP'.*bearer tokens") as caught:
        issued_by(SETTINGS, answer, NOW)
    assert "identity_url" not in str(caught.value)


def test_a_secret_that_was_not_sent_is_not_blamed() -> None:
    error = explained(400, {"error": "invalid_client"}, grant="device_code", client_authentication="none")
    assert "the application is not a public client" in (error.cause or "")
    assert "secret" not in (error.cause or "")


def answered(behind: float, error: str, status: int = 400, **changes: Any) -> str:
    """What is said to a refusal of a server whose clock differs by so many seconds."""
    return str(explained(status, {"error": error}, {"date": formatdate(NOW + behind, usegmt=True)}, **changes))


@pytest.mark.parametrize(
    ("behind", "error", "changes", "said"),
    [
        (-600, "invalid_request", {}, "600 s ahead of the"),
        (600, "invalid_grant", {}, "600 s behind the"),
        (30, "invalid_client", {}, "30 s behind the"),
        # Where only the application signs.
        (600, "invalid_client", {"grant": "password"}, "600 s behind the"),
    ],
)
def test_a_clock_that_is_off_is_suspected(behind: float, error: str, changes: dict[str, str], said: str) -> None:
    text = answered(behind, error, **changes)
    assert f"Likely cause: this machine's clock is {said} identity domain's; otherwise: " in text
    assert "Next step: Correct this machine's clock (NTP) first. " in text


def test_a_clock_that_is_off_a_little_is_named_after_the_likely_cause() -> None:
    text = answered(20, "invalid_request")
    assert "clock is wrong (this machine's clock is 20 s behind the identity domain's). Next step: Check the" in text


@pytest.mark.parametrize(
    "text",
    [
        answered(1, "invalid_request"),
        *(answered(600, error) for error in ("invalid_scope", "unauthorized_client", "unsupported_grant_type")),
        *(answered(600, "invalid_request", outage) for outage in (302, 404, 429, 503)),
        # Nothing is signed.
        answered(600, "invalid_grant", grant="password", private_key=None),
        *(str(explained(400, {"error": "invalid_request"}, {"date": date})) for date in ("", "yesterday")),
    ],
)
def test_a_clock_is_not_suspected_of_what_it_cannot_cause(text: str) -> None:
    assert "machine's clock is" not in text


@pytest.mark.parametrize("member", ["error", "error_description", "message", "ecid"])
@pytest.mark.parametrize("before", [3, 495])
@pytest.mark.parametrize(
    "secret",
    ["client+secret/=", "client%2Bsecret%2F%3D", "the-private-key", "user&password", "user%26password", ASSERTION],
)
def test_secrets_that_a_server_echoes_are_not_shown(member: str, before: int, secret: str) -> None:
    error = explained(400, {member: f"{'x' * before} {secret} then"})
    shown = {"error": error.error, "ecid": error.ecid}.get(member, error.description)
    # Masked before it is cut, so that no half of it remains.
    assert shown == f"{'x' * before} *** then"[:500]
    assert secret not in f"{error} {error!r} {error.__dict__}"


def test_long_texts_are_cut_and_brought_to_one_line() -> None:
    error = explained(400, {"error": "x", "error_description": "a\n\tb" * 1000})
    assert error.description == ("a b" * 1000)[:500]


KINDS = [kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, OACError)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])  # noqa: S301
def test_all_errors_survive_copying_by_waiters_and_pickling_by_airflow(kind: Any, again: Any) -> None:
    facts = {field.name: f"the {field.name}" for field in fields(kind)} if is_dataclass(kind) else {}
    error = kind("text", **facts)
    other = again(error)
    assert type(other) is kind
    assert (str(other), other.args, other.__dict__) == ("text", error.args, error.__dict__)
