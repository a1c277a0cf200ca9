"""What is refused before the first request, and why; and what requests hold."""

from __future__ import annotations

import base64
from dataclasses import replace
from urllib.parse import parse_qs, unquote, unquote_plus

import pytest

from airflow_provider_oac.auth.grants import CLIENT_ASSERTION_TYPE, JWT_BEARER, token_request
from airflow_provider_oac.auth.session import MemoryStore, Session
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.exceptions import OACConfigurationError
from tests.unit.auth.stores import PASSWORD, SIGNED

BOTH = replace(
    PASSWORD, private_key=SIGNED.private_key, private_key_passphrase="key-passphrase", certificate="the-certificate"
)
FIELDS = {
    "client_id": "client id", "scope": "scope", "user": "user to act as", "private_key": "private key",
    "certificate_alias": "certificate's alias", "user_password": "user's password", "client_secret": "client secret",
}  # fmt: skip


def form(settings: AuthSettings) -> dict[str, str]:
    body = token_request(settings, 1_700_000_000.0).body or b""
    fields = parse_qs(body.decode(), strict_parsing=True)
    return {name: value for name, (value,) in fields.items()}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        *(
            (replace(settings, **{name: nothing}), rf"The {FIELDS[name]} \(Connection: .*\) is missing; ")
            for settings, names in (
                (SIGNED, ("client_id", "scope", "user", "private_key", "certificate_alias")),
                (PASSWORD, ("client_id", "user", "user_password", "client_secret")),
            )
            for name in names
            for nothing in (None, "")
        ),
        (replace(SIGNED, private_key=None, client_secret="x"), "private key .* is missing; it signs the assertions"),
        (replace(SIGNED, client_authentication="basic"), "client secret .* is missing"),
        (replace(SIGNED, audience=()), "The audience .* is missing"),
        (replace(SIGNED, grant="client_credentials"), r"cannot work.*tokens that carry a user only.*Use jwt_assertion"),
        (replace(SIGNED, grant="implicit"), "Unknown grant: 'implicit'. Known are: jwt_assertion, "),
        (replace(SIGNED, client_authentication="mtls"), "Unknown .*: 'mtls'. Known are: assertion, "),
        # Credentials would be lost there.
        *(
            (replace(SIGNED, identity_url=url), r"The identity domain's address \(identity_url\) ")
            for url in ("", "idcs.example.com", "http://idcs.example.com", "https://a:b@idcs.example.com")
        ),
    ],
)
def test_what_cannot_work_is_refused_at_once_by_its_name_and_its_place(settings: AuthSettings, said: str) -> None:
    with pytest.raises(OACConfigurationError, match=said):
        Session(settings, MemoryStore())


class TestSecrets:
    def test_none_is_in_a_repr(self) -> None:
        shown = repr(BOTH) + repr(token_request(replace(PASSWORD, client_authentication="body"), 0.0))
        assert not [secret for secret in (*BOTH.secrets, "the-certificate") if secret in shown]
        assert "eyJ" not in repr(token_request(SIGNED, 0.0))

    def test_all_are_known_to_whoever_masks(self) -> None:
        assert set(BOTH.secrets) == {"client-secret", "user-pass-word", "key-passphrase", SIGNED.private_key}


class TestRequest:
    def test_of_the_default_grant_has_two_assertions(self) -> None:
        request, fields = token_request(SIGNED, 1_700_000_000.0), form(SIGNED)
        assert (request.method, request.url) == ("POST", "https://idcs.example.com/oauth2/v1/token")
        assert "Authorization" not in request.headers
        assert fields.pop("assertion") != fields.pop("client_assertion")
        assert fields == {
            "grant_type": JWT_BEARER,
            "client_assertion_type": CLIENT_ASSERTION_TYPE,
            "client_id": "client",
            "scope": "scope",
        }

    @pytest.mark.parametrize("settings", [SIGNED, PASSWORD])
    def test_sends_the_scope_as_it_stands(self, settings: AuthSettings) -> None:
        odd = "https://a b?c=d&e=%41+urn:opc:resource:consumer::all offline_access"
        assert form(replace(settings, scope=odd))["scope"] == odd

    def test_by_basic_encodes_id_and_secret_first(self) -> None:
        odd = replace(PASSWORD, client_id="a:b c", client_secret="s:e+c/r=%41&\u00e4")
        header = token_request(odd, 0.0).headers["Authorization"]
        client_id, _, secret = base64.b64decode(header.removeprefix("Basic ")).decode("ascii").partition(":")
        # A blank as %20: not every server reads a + as one.
        for decode in (unquote, unquote_plus):
            assert (decode(client_id), decode(secret)) == ("a:b c", "s:e+c/r=%41&\u00e4")
        assert not {"client_id", "client_secret"} & form(odd).keys()

    @pytest.mark.parametrize(
        ("how", "proofs"),
        [(None, ["client_assertion"]), ("assertion", ["client_assertion"]), ("basic", []), ("body", ["client_secret"])],
    )
    def test_authenticates_the_application_in_one_way_only(self, how: str | None, proofs: list[str]) -> None:
        settings = replace(SIGNED, client_secret="client-secret", client_authentication=how)
        assert [name for name in ("client_secret", "client_assertion") if name in form(settings)] == proofs
        assert ("Authorization" in token_request(settings, 0.0).headers) is (how == "basic")

    def test_of_the_password_grant_keeps_every_character(self) -> None:
        odd = ("j\u00e4ne+x@example.com", "p&=%41 +\u00e4\u20ac")
        fields = form(replace(PASSWORD, user=odd[0], user_password=odd[1]))
        assert (fields["username"], fields["password"]) == odd

    def test_goes_to_the_same_place_with_or_without_a_slash_at_the_end(self) -> None:
        assert replace(SIGNED, identity_url="https://idcs.example.com/").token_url == SIGNED.token_url
