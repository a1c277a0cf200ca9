"""The device flow (RFC 8628) in a world without time: how it waits, when it stops, what it says."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest

from airflow_provider_oac.auth.device import DeviceCode, device_sign_in
from airflow_provider_oac.auth.token import Issued
from airflow_provider_oac.exceptions import OACAuthError, OACConfigurationError, OACTransportError
from airflow_provider_oac.transport.blocking import run
from airflow_provider_oac.transport.io import Request, Response
from airflow_provider_oac.transport.redaction import error_object
from tests.manual import Answer, ManualIO, in_turn, response, unreachable
from tests.unit.auth.stores import PASSWORD

SETTINGS = replace(PASSWORD, grant="device_code", name="oac_person")
CODE = {"device_code": "the-device-code", "user_code": "ABCDEFGH", "verification_uri": "https://idcs.example.com/d"}
TOKENS = {"access_token": "an-access-token", "token_type": "Bearer", "expires_in": 100, "refresh_token": "a+token=="}


def refusal(error: str, description: str = "", status: int = 400) -> Response:
    return response(status, json.dumps({"error": error, "error_description": description}))


def code(**changes: Any) -> Response:
    return response(200, json.dumps({**CODE, **changes}))


PENDING, LOST = refusal("authorization_pending"), unreachable(sent=True)


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
        return run(device_sign_in(self.io, replace(SETTINGS, **changes), self.shown.append, self.left.append))

    def refused(self, **changes: Any) -> OACAuthError:
        with pytest.raises(OACAuthError) as caught:
            self.sign_in(**changes)
        shown = str(caught.value) + repr(self.shown)
        assert not [secret for secret in ("the-device-code", "client-secret", "a+token==") if secret in shown]
        return caught.value


def forms(requests: list[Request]) -> list[dict[str, str]]:
    return [{name: value for name, (value,) in parse_qs((one.body or b"").decode()).items()} for one in requests]


# ------------------------------------------------------------------------------------------------------- asking


@pytest.mark.parametrize("scope", ["scope", "scope offline_access"])
def test_what_is_asked_for_and_what_is_shown(scope: str) -> None:
    person = Person(code(expires_in=300), PENDING, TOKENS)
    issued = person.sign_in(scope=scope)
    assert (issued.token.access_token, issued.refresh_token) == ("an-access-token", "a+token==")
    # The time before the last poll.
    assert issued.token.obtained_at == person.io.time
    begin, *polls = person.io.requests
    assert begin.url == "https://idcs.example.com/oauth2/v1/device"
    assert forms([begin]) == [{"response_type": "device_code", "scope": "scope offline_access", "client_id": "client"}]
    assert "Authorization" not in begin.headers
    grant = "urn:ietf:params:oauth:grant-type:device_code"
    assert {poll.url for poll in polls} == {"https://idcs.example.com/oauth2/v1/token"}
    assert forms(polls) == [{"grant_type": grant, "device_code": "the-device-code", "client_id": "client"}] * 2
    assert all(poll.headers["Authorization"].startswith("Basic ") for poll in polls)
    (shown,) = person.shown
    assert (shown.user_code, shown.verification_uri) == (CODE["user_code"], CODE["verification_uri"])
    assert person.left == [300.0, 295.0]


@pytest.mark.parametrize("refused", [response(401, ""), refusal("invalid_client")])
def test_a_domain_that_wants_the_application_to_prove_itself_is_asked_once_more(refused: Response) -> None:
    person = Person(refused, code(), TOKENS)
    person.sign_in()
    first, second, _poll = person.io.requests
    assert (first.url, forms([first])) == (second.url, forms([second]))
    assert "Authorization" not in first.headers
    assert second.headers["Authorization"].startswith("Basic ")
    assert Person(refused, refused).refused().status == refused.status


def test_a_public_application_is_asked_for_once() -> None:
    # More than one request would fail.
    assert "secret" not in (Person(response(401, "")).refused(client_secret=None).cause or "")


COMPLETE = "https://idcs.example.com/d?c=ABCDEFGH"
UNSHOWABLE: list[Any] = [7, "with\x1b[31m control", "\u202ereversed", "x" * 8193]


@pytest.mark.parametrize(("complete", "shown"), [(COMPLETE, COMPLETE), *((odd, None) for odd in UNSHOWABLE)])
def test_a_complete_address_is_shown_if_it_can_be(complete: Any, shown: str | None) -> None:
    # And an address by the draft's name is understood.
    draft = {"verification_uri": None, "verification_url": CODE["verification_uri"]}
    person = Person(code(**draft, verification_uri_complete=complete), TOKENS)
    person.sign_in()
    (found,) = person.shown
    assert (found.verification_uri, found.verification_uri_complete) == (CODE["verification_uri"], shown)


@pytest.mark.parametrize(
    ("answer", "lacks"),
    [
        *((code(**{member: None}), member) for member in CODE),
        *((code(user_code=odd), "user_code") for odd in ("", "  ", ["x"], {}, "line\nbreak", *UNSHOWABLE)),
        *((response(200, text), "device_code, user_code, verification_uri") for text in ("<html>", "[]", "null", "")),
    ],
)
def test_an_answer_without_what_a_person_needs_is_refused(answer: Response, lacks: str) -> None:
    person = Person(answer)
    error = str(person.refused())
    assert f"no usable {lacks}" in error
    assert "Check identity_url" in error
    assert not person.shown


def test_a_refusal_of_the_code_is_explained() -> None:
    error = Person(refusal("unauthorized_client")).refused()
    assert "Device Code and Refresh Token (for device_code)" in (error.next_step or "")


def test_a_key_that_cannot_be_read_is_found_before_anybody_is_asked() -> None:
    person = Person()
    with pytest.raises(OACConfigurationError, match="private key"):
        person.sign_in(private_key="no key at all", certificate_alias="airflow")
    assert not person.io.requests


# ------------------------------------------------------------------------------------------------------ waiting


NO_INTERVAL: list[Any] = [None, 0, -5, "soon", True, 1e9, float("nan"), [5], 10**400]
SLOWER, BUSY = refusal("slow_down"), [response(status, "", {"retry-after": "90"}) for status in (429, 503)]
SAYS_PENDING = [refusal("invalid_request", "The request is still PENDING.", status) for status in (400, 403, 499)]
#: The answers before the tokens, and the seconds before each poll.
WAITS: dict[str, tuple[list[Answer], list[float]]] = {
    **{f"no interval: {odd!r:.9}": ([code(interval=odd), PENDING], [5, 5]) for odd in NO_INTERVAL},
    **{f"too short: {short!r}": ([code(interval=short), PENDING], [1, 1]) for short in (0.01, "1e-9", 1)},
    **{f"interval {told!r}": ([code(interval=told), PENDING, PENDING], [7, 7, 7]) for told in (7, 7.0, "7")},
    "slow_down, for good": ([code(), PENDING, SLOWER, PENDING, SLOWER, PENDING], [5, 5, 10, 10, 15, 15]),
    **{f"{said.status} that says pending": ([code(), said], [5, 5]) for said in SAYS_PENDING},
    "a timeout doubles it up to a minute": ([code(expires_in=900), *[LOST] * 5], [5, 10, 20, 40, 60, 60]),
    "a timeout never shortens it": ([code(interval=90), LOST], [90, 90]),
    **{f"passing {status}": ([code(), response(status, "<html>"), PENDING], [5, 10, 10]) for status in (429, 500)},
    **{f"retry-after of {busy.status}, once": ([code(), busy, PENDING], [5, 90, 10]) for busy in BUSY},
    "a shorter retry-after": ([code(), response(503, "", {"retry-after": "1"})], [5, 10]),
}


@pytest.mark.parametrize("case", WAITS)
def test_it_waits_before_each_poll(case: str) -> None:
    answers, slept = WAITS[case]
    person = Person(*answers, TOKENS)
    person.sign_in()
    assert person.io.slept == slept


# ------------------------------------------------------------------------------------------------------- ending


@pytest.mark.parametrize(
    ("answer", "cause", "next_step"),
    [
        (refusal("access_denied", "no longer pending"), "the person denied the request", "choose to allow it"),
        (refusal("expired_token", "no longer pending"), "the code expired", "approve the code in time"),
        (refusal("invalid_client"), "client id or client secret is wrong", "login and password"),
        (refusal("unauthorized_client"), "this grant is not ticked", "Device Code and Refresh Token"),
        (refusal("invalid_grant", "The device code is not valid."), "user is missing", "Check that the user is active"),
        (refusal("something_new"), "unknown", "ecid"),
        (refusal(""), "unknown", "ecid"),
        (response(400, "[]"), "unknown", "ecid"),
        (response(302, ""), "redirect", "identity_url"),
        (response(404, ""), "no token service", "identity_url"),
        (response(501, ""), "internal error", "ecid"),
    ],
)
def test_everything_else_stops_it(answer: Response, cause: str, next_step: str) -> None:
    failure = Person(code(), PENDING, answer).refused()
    assert cause in (failure.cause or "")
    assert next_step in (failure.next_step or "")
    assert (failure.error or "") == error_object(answer).get("error", "")
    assert "refresh token" not in str(failure)


def test_trouble_that_does_not_pass_stops_it() -> None:
    with pytest.raises(OACTransportError):
        Person(code(), unreachable(passing=False)).sign_in()


@pytest.mark.parametrize("body", ["<html>", "{}", '{"access_token": "x", "token_type": "mac"}', '{"access_token": 1}'])
def test_an_answer_without_a_usable_token_is_refused(body: str) -> None:
    said = str(Person(code(), response(200, body)).refused())
    assert "only Bearer can be used" in said if "mac" in body else "Check identity_url" in said


@pytest.mark.parametrize(
    ("told", "polls", "slept", "left"),
    [
        *(({"expires_in": odd}, 60, 300.0, 300.0) for odd in (300, "300", None, -1, "soon", 1e300, True)),
        # It waits for an hour at most, and the last poll does not come early.
        *(({"interval": 600, "expires_in": seconds}, 6, 3600.0, 3600.0) for seconds in (3600, 86399, "80000")),
        ({"expires_in": 12}, 2, 10.0, 12.0),
    ],
)
def test_it_ends_with_the_code(told: dict[str, Any], polls: int, slept: float, left: float) -> None:
    person = Person(code(**told), *[PENDING] * polls)
    assert "no user approved the code in time" in str(person.refused())
    assert (sum(person.io.slept), person.left[0], len(person.io.requests)) == (slept, left, 1 + polls)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [([LOST] * 3, "no answer came"), ([response(503, "", {"retry-after": "100"})], "HTTP 503")],
)
def test_a_domain_that_stays_away_is_named_as_the_reason(trouble: list[Answer], said: str) -> None:
    assert f"the domain had trouble: {said}" in str(Person(code(expires_in=40), *trouble).refused())


def test_a_sign_in_without_a_refresh_token_is_explained() -> None:
    error = str(Person(code(), {**TOKENS, "refresh_token": None}).refused())
    assert "brought no refresh token" in error
    assert "tick Refresh Token" in error
    assert "Allow token refresh" in error
