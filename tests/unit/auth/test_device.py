"""The device flow (RFC 8628) in a world without time: how it waits, when it stops, what it says."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from airflow_provider_oac.auth.device import DeviceCode, device_sign_in
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.token import Issued
from airflow_provider_oac.exceptions import OACAuthError, OACConfigurationError, OACTransportError
from airflow_provider_oac.transport.blocking import run
from airflow_provider_oac.transport.io import Request, Response
from tests.manual import Answer, ManualIO, in_turn, response, unreachable

CODE = {"device_code": "the-device-code", "user_code": "ABCDEFGH", "verification_uri": "https://idcs.example.com/d"}
TOKENS = {"access_token": "an-access-token", "token_type": "Bearer", "expires_in": 100, "refresh_token": "a+token=="}
PENDING = "authorization_pending"


def settings(**changes: Any) -> AuthSettings:
    fields: dict[str, Any] = {
        "identity_url": "https://idcs.example.com", "client_id": "the-client", "client_secret": "the-secret",
        "scope": "scope", "grant": "device_code", "name": "oac_person",
    }  # fmt: skip
    return AuthSettings(**{**fields, **changes})


def refusal(error: str, description: str = "", status: int = 400) -> Response:
    return response(status, json.dumps({"error": error, "error_description": description}))


def code(**changes: Any) -> Response:
    return response(200, json.dumps({**CODE, **changes}))


class Person:
    """Who sits before the command, and the domain that answers it.

    :param answers: to the request for a code and to each poll.
    """

    def __init__(self, *answers: Answer | dict[str, Any]) -> None:
        made = [response(200, json.dumps(answer)) if isinstance(answer, dict) else answer for answer in answers]
        self.io = ManualIO(in_turn(*made))
        self.shown: list[DeviceCode] = []
        self.left: list[float] = []

    def sign_in(self, **changes: Any) -> Issued:
        return run(device_sign_in(self.io, settings(**changes), self.shown.append, self.left.append))

    def refused(self, **changes: Any) -> OACAuthError:
        with pytest.raises(OACAuthError) as caught:
            self.sign_in(**changes)
        shown = str(caught.value) + repr(self.shown)
        assert not [secret for secret in ("the-device-code", "the-secret", "a+token==") if secret in shown]
        return caught.value


def forms(requests: list[Request]) -> list[dict[str, str]]:
    return [{name: value for name, (value,) in parse_qs((one.body or b"").decode()).items()} for one in requests]


# ------------------------------------------------------------------------------------------------------- asking


def test_what_is_asked_for_and_what_is_shown() -> None:
    person = Person(code(expires_in=300), refusal(PENDING), TOKENS)
    issued = person.sign_in()
    assert (issued.token.access_token, issued.refresh_token) == ("an-access-token", "a+token==")
    begin, *polls = person.io.requests
    assert begin.url == "https://idcs.example.com/oauth2/v1/device"
    assert forms([begin]) == [
        {"response_type": "device_code", "scope": "scope offline_access", "client_id": "the-client"}
    ]
    assert "Authorization" not in begin.headers
    assert {poll.url for poll in polls} == {"https://idcs.example.com/oauth2/v1/token"}
    assert all(poll.headers["Authorization"].startswith("Basic ") for poll in polls)
    for form in forms(polls):
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:device_code"
        assert form["device_code"] == "the-device-code"
    (shown,) = person.shown
    assert (shown.user_code, shown.verification_uri) == (CODE["user_code"], CODE["verification_uri"])
    assert person.left == [300.0, 295.0]


@pytest.mark.parametrize("refused", [response(401, ""), response(400, '{"error": "invalid_client"}')])
def test_a_domain_that_wants_the_application_to_prove_itself_is_asked_once_more(refused: Response) -> None:
    person = Person(refused, code(), TOKENS)
    person.sign_in()
    first, second, _poll = person.io.requests
    assert first.url == second.url
    assert "Authorization" not in first.headers
    assert second.headers["Authorization"].startswith("Basic ")
    assert forms([first]) == forms([second])
    person = Person(refused, refused)
    assert person.refused().status == refused.status
    assert len(person.io.requests) == 2


def test_a_public_application_is_asked_for_once() -> None:
    person = Person(response(401, ""))
    assert "secret" not in (person.refused(client_secret=None).cause or "")
    assert len(person.io.requests) == 1


def test_offline_access_is_asked_for_once() -> None:
    person = Person(code(), TOKENS)
    person.sign_in(scope="scope offline_access")
    assert forms(person.io.requests)[0]["scope"] == "scope offline_access"


def test_the_time_of_the_token_is_that_before_the_last_poll() -> None:
    person = Person(code(), TOKENS)
    assert person.sign_in().token.obtained_at == person.io.time


def test_a_complete_address_is_shown_and_an_address_of_the_draft_understood() -> None:
    complete = "https://idcs.example.com/d?c=ABCDEFGH"
    person = Person(
        code(verification_uri=None, verification_url=CODE["verification_uri"], verification_uri_complete=complete),
        TOKENS,
    )
    person.sign_in()
    assert person.shown[0].verification_uri == CODE["verification_uri"]
    assert person.shown[0].verification_uri_complete == complete


@pytest.mark.parametrize("complete", [7, "with\x1b[31m control", "\u202ereversed", "x" * 8193])
def test_a_complete_address_that_is_none_is_not_shown(complete: Any) -> None:
    person = Person(code(verification_uri_complete=complete), TOKENS)
    person.sign_in()
    assert person.shown[0].verification_uri_complete is None


@pytest.mark.parametrize("member", sorted(CODE))
@pytest.mark.parametrize(
    "garbage", [None, "", "  ", 7, ["x"], {}, "a\x1b]0;title\x07", "line\nbreak", "\u202ereversed", "x" * 8193]
)
def test_an_answer_without_what_a_person_needs_is_refused(member: str, garbage: Any) -> None:
    person = Person(code(**{member: garbage}))
    error = person.refused()
    assert f"no usable {member}" in str(error)
    assert "Check identity_url" in str(error)
    assert not person.shown


@pytest.mark.parametrize("body", ["<html>", "[]", "null", ""])
def test_an_answer_that_is_no_object_is_refused(body: str) -> None:
    assert "no usable device_code, user_code, verification_uri" in str(Person(response(200, body)).refused())


def test_a_refusal_of_the_code_is_explained() -> None:
    error = Person(refusal("unauthorized_client")).refused()
    assert "Device Code and Refresh Token (for device_code)" in (error.next_step or "")


def test_a_key_that_cannot_be_read_is_found_before_anybody_is_asked() -> None:
    person = Person()
    with pytest.raises(OACConfigurationError, match="private key"):
        person.sign_in(private_key="no key at all", certificate_alias="airflow")
    assert not person.io.requests


# ------------------------------------------------------------------------------------------------------ waiting


def slept(*answers: Answer | dict[str, Any]) -> list[float]:
    """How long was waited before each poll of a sign-in that ends well."""
    person = Person(*answers, TOKENS)
    person.sign_in()
    return person.io.slept


@pytest.mark.parametrize("interval", [None, 0, -5, "soon", True, 1e9, float("nan"), [5], 10**400])
def test_without_a_sensible_interval_it_waits_five_seconds(interval: Any) -> None:
    assert slept(code(interval=interval), refusal(PENDING)) == [5.0, 5.0]


@pytest.mark.parametrize("interval", [0.01, "1e-9", 1])
def test_it_waits_a_second_at_least(interval: Any) -> None:
    assert slept(code(interval=interval), refusal(PENDING)) == [1.0, 1.0]


@pytest.mark.parametrize("expires_in", [3600, 86399, "80000"])
def test_it_ends_after_an_hour(expires_in: Any) -> None:
    person = Person(code(interval=600, expires_in=expires_in), *[refusal(PENDING)] * 6)
    assert "no user approved the code in time" in str(person.refused())
    assert person.left[0] == 3600.0


@pytest.mark.parametrize("interval", [7, 7.0, "7"])
def test_the_interval_of_the_answer_is_kept(interval: Any) -> None:
    assert slept(code(interval=interval), *[refusal(PENDING)] * 3) == [7.0] * 4


def test_slow_down_adds_five_seconds_for_good() -> None:
    answers = [refusal(name) for name in (PENDING, "slow_down", PENDING, "slow_down", PENDING)]
    assert slept(code(), *answers) == [5.0, 5.0, 10.0, 10.0, 15.0, 15.0]


@pytest.mark.parametrize("status", [400, 401, 403, 428])
def test_a_description_that_says_pending_is_understood(status: int) -> None:
    said = refusal("invalid_request", "The authorization request is still PENDING.", status)
    assert slept(code(), said) == [5.0, 5.0]


@pytest.mark.parametrize("error", ["access_denied", "expired_token"])
def test_a_description_that_says_pending_changes_no_known_error(error: str) -> None:
    assert Person(code(), refusal(error, "no longer pending")).refused().error == error


def test_a_timeout_doubles_the_interval_up_to_a_minute() -> None:
    lost = [unreachable(sent=True)] * 5
    assert slept(code(expires_in=900), *lost) == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


def test_a_timeout_never_shortens_the_interval() -> None:
    assert slept(code(interval=90), unreachable(sent=True)) == [90.0, 90.0]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_trouble_is_outwaited(status: int) -> None:
    assert slept(code(), response(status, "<html>"), refusal(PENDING)) == [5.0, 10.0, 10.0]


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_heeded_once(status: int) -> None:
    busy = response(status, "", {"retry-after": "90"})
    assert slept(code(), busy, refusal(PENDING)) == [5.0, 90.0, 10.0]


def test_a_retry_after_that_is_shorter_than_the_interval_changes_nothing() -> None:
    assert slept(code(), response(503, "", {"retry-after": "1"})) == [5.0, 10.0]


# ------------------------------------------------------------------------------------------------------- ending


@pytest.mark.parametrize(
    ("error", "cause", "next_step"),
    [
        ("access_denied", "the person denied the request", "choose to allow it"),
        ("expired_token", "the code expired", "approve the code in time"),
        ("invalid_client", "client id or client secret is wrong", "login and password"),
        ("unauthorized_client", "this grant is not ticked", "Device Code and Refresh Token"),
        ("something_new", "unknown", "ecid"),
        ("", "unknown", "ecid"),
    ],
)
def test_everything_else_stops_it(error: str, cause: str, next_step: str) -> None:
    failure = Person(code(), refusal(PENDING), refusal(error)).refused()
    assert cause in (failure.cause or "")
    assert next_step in (failure.next_step or "")
    assert (failure.error or "") == error


def test_an_invalid_grant_is_not_blamed_on_a_refresh_token() -> None:
    error = Person(code(), refusal("invalid_grant", "The device code is not valid.")).refused()
    assert "refresh token" not in str(error)


@pytest.mark.parametrize("answer", [response(302, ""), response(404, ""), response(400, "[]"), response(501, "")])
def test_an_answer_that_is_no_answer_stops_it(answer: Response) -> None:
    assert Person(code(), answer).refused().status == answer.status


def test_trouble_that_does_not_pass_stops_it() -> None:
    person = Person(code(), unreachable(sent=False, passing=False))
    with pytest.raises(OACTransportError):
        person.sign_in()


@pytest.mark.parametrize("body", ["<html>", "{}", '{"access_token": "x", "token_type": "mac"}', '{"access_token": 1}'])
def test_an_answer_without_a_usable_token_is_refused(body: str) -> None:
    said = str(Person(code(), response(200, body)).refused())
    assert "only Bearer can be used" in said if "mac" in body else "Check identity_url" in said


@pytest.mark.parametrize("expires_in", [300, "300", None, -1, "soon", 1e300, True])
def test_it_ends_with_the_code_and_asks_no_more(expires_in: Any) -> None:
    person = Person(code(expires_in=expires_in), *[refusal(PENDING)] * 60)
    error = person.refused()
    assert "no user approved the code in time" in str(error)
    assert sum(person.io.slept) <= 300.0
    assert len(person.io.requests) == 61


def test_the_last_poll_does_not_come_early() -> None:
    person = Person(code(expires_in=12), *[refusal(PENDING)] * 2)
    person.refused()
    assert person.io.slept == [5.0, 5.0]


def test_a_domain_that_stays_away_is_named_as_the_reason() -> None:
    person = Person(code(expires_in=40), *[unreachable(sent=True)] * 3)
    assert "the domain had trouble: no answer came" in str(person.refused())
    person = Person(code(expires_in=40), response(503, "", {"retry-after": "100"}))
    assert "the domain had trouble: HTTP 503" in str(person.refused())


def test_a_sign_in_without_a_refresh_token_is_explained() -> None:
    tokens = {name: value for name, value in TOKENS.items() if name != "refresh_token"}
    error = Person(code(), tokens).refused()
    assert "brought no refresh token" in str(error)
    assert "tick Refresh Token" in str(error)
    assert "Allow token refresh" in str(error)
