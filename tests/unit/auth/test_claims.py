"""What an access token says of itself: shown to people, never depended on."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from airflow_provider_oac.auth.claims import claims, header, looks_personal, owner
from tests.unit.auth.tokens import access_token


def part(content: Any) -> str:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


HEADER = part({"alg": "RS256", "typ": "JWT"})
NO_CLAIMS: list[Any] = [[], None, "text", b"no json", bytes([255, 254]), b"[" * 100_000]
OPAQUE = [
    "", "opaque", "AQIDBA+/==", "a.b", "a.b.c", "a.b.c.d.e", "\ud800.\ud800.\ud800", "ä.ö.ü",
    f"{part([])}.{part({'sub': 'jane'})}.AAAA", *(f"{HEADER}.{part(content)}.AAAA" for content in NO_CLAIMS),
]  # fmt: skip


def test_the_claims_of_a_token_are_read_without_its_key_and_as_they_stand() -> None:
    token = access_token(sub="jane", exp=1, nbf=9_999_999_999, aud="somebody else")
    assert claims(token) == {"sub": "jane", "exp": 1, "nbf": 9_999_999_999, "aud": "somebody else"}
    assert header(token) == {"alg": "HS256", "typ": "JWT", "kid": "SIGNING_KEY"}
    odd = {"sub": None, "iat": True, "exp": [], "nbf": {}, "aud": -1, "iss": 1e300, "jti": "text"}
    assert claims(f"{HEADER}.{part(odd)}.AAAA") == odd


@pytest.mark.parametrize("token", OPAQUE)
def test_an_opaque_token_has_none(token: str) -> None:
    assert claims(token) == {}
    assert isinstance(header(token), dict)


@pytest.mark.parametrize(
    ("found", "who"),
    [
        ({"sub": "jane@example.com"}, "jane@example.com"),
        ({"sub": "jane@example.com", "sub_type": "user"}, "jane@example.com"),
        ({"sub": "an-application", "sub_type": "client"}, None),
        *(({"sub": odd}, None) for odd in (7, None, "red\x1b[31m", "two\nlines", "\ud800")),
        ({"user_name": "jane"}, None),
    ],
)
def test_the_owner_is_a_user_whom_one_can_show(found: dict[str, Any], who: str | None) -> None:
    assert owner(found) == who


PEOPLE = [
    "jane.doe@example.com", "Jane", "j.robotham@example.com", "servicio.garcia@example.com", "apinya", "x@svc.io",
]  # fmt: skip
ROBOTS = [
    "svc-oac@example.com", "OAC.Admin@example.com", "airflow", "airflow2@example.com", "etl_robot", "batch01", "app-x",
]  # fmt: skip


@pytest.mark.parametrize("user", [*PEOPLE, *ROBOTS])
def test_people_look_personal_and_service_accounts_do_not(user: str) -> None:
    assert looks_personal(user) is (user in PEOPLE)
