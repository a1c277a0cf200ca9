"""What is refused before the first request, and why."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qs, unquote, unquote_plus

import pytest

from airflow_provider_oac.auth.grants import CLIENT_ASSERTION_TYPE, JWT_BEARER, token_request
from airflow_provider_oac.auth.session import MemoryStore, Session
from airflow_provider_oac.auth.settings import DEFAULT_AUDIENCE, AuthSettings
from airflow_provider_oac.exceptions import OACConfigurationError
from tests.unit.auth import keys_forms as forms

KEY = forms.pem("PKCS#8")
SECRETS = ("client-secret", "user-pass-word", "key-passphrase", KEY)


def settings(**changes: Any) -> AuthSettings:
    fields: dict[str, Any] = {
        "identity_url": "https://idcs.example.com",
        "client_id": "the client",
        "scope": "https://oac.example.comurn:opc:resource:consumer::all",
        "user": "jane.doe@example.com",
        "private_key": KEY,
        "certificate_alias": "alias",
    }
    return AuthSettings(**{**fields, **changes})


def password(**changes: Any) -> AuthSettings:
    fields: dict[str, Any] = {
        "grant": "password",
        "user_password": "user-pass-word",
        "client_secret": "client-secret",
        "private_key": None,
        "certificate_alias": None,
    }
    return settings(**{**fields, **changes})


def form(checked: AuthSettings) -> dict[str, str]:
    body = token_request(checked, 1_700_000_000.0).body or b""
    fields = parse_qs(body.decode(), strict_parsing=True)
    assert all(len(values) == 1 for values in fields.values())
    return {name: values[0] for name, values in fields.items()}


class TestRefused:
    def test_client_credentials_with_the_reason_and_the_way_out(self) -> None:
        with pytest.raises(OACConfigurationError, match=r"tokens that carry a user only.*Use jwt_assertion") as caught:
            Session(settings(grant="client_credentials"), MemoryStore())
        assert "client_credentials cannot work" in str(caught.value)

    @pytest.mark.parametrize(
        ("made", "missing", "named"),
        [
            (settings, "client_id", "client id"),
            (settings, "scope", "scope"),
            (settings, "user", "user to act as"),
            (settings, "private_key", "private key"),
            (settings, "certificate_alias", "certificate's alias"),
            (password, "client_id", "client id"),
            (password, "user", "user to act as"),
            (password, "user_password", "user's password"),
            (password, "client_secret", "client secret"),
        ],
    )
    @pytest.mark.parametrize("nothing", [None, ""])
    def test_a_missing_field_by_its_name_and_its_place(
        self, made: Any, missing: str, named: str, nothing: str | None
    ) -> None:
        changes = {missing: nothing}
        if missing == "private_key":
            changes["client_authentication"] = "assertion"
        with pytest.raises(OACConfigurationError, match=rf"The .*{named}.* \(Connection: .*\) is missing; "):
            Session(made(**changes), MemoryStore())

    def test_a_missing_key_even_if_the_application_shows_a_secret(self) -> None:
        with pytest.raises(OACConfigurationError, match=r"private key .* is missing; it signs the assertions"):
            settings(private_key=None, client_secret="client-secret").check()

    def test_a_missing_secret_if_the_application_is_to_show_one(self) -> None:
        with pytest.raises(OACConfigurationError, match=r"client secret .* is missing"):
            settings(client_authentication="basic").check()

    @pytest.mark.parametrize(
        ("changes", "named"),
        [({"grant": "implicit"}, "grant: 'implicit'"), ({"client_authentication": "mtls"}, "'mtls'")],
    )
    def test_an_unknown_choice_with_the_known_ones(self, changes: dict[str, str], named: str) -> None:
        with pytest.raises(OACConfigurationError, match=f"Unknown .*{named}. Known are: "):
            settings(**changes).check()

    @pytest.mark.parametrize("url", ["", "idcs.example.com", "http://idcs.example.com", "https://a:b@idcs.example.com"])
    def test_an_address_without_which_credentials_would_be_lost(self, url: str) -> None:
        with pytest.raises(OACConfigurationError, match=r"The identity domain's address \(identity_url\) "):
            settings(identity_url=url).check()

    def test_a_certificate_of_another_key(self) -> None:
        other = forms.certificate_pem(1)
        with pytest.raises(OACConfigurationError, match="does not belong to the private key"):
            token_request(settings(certificate=other), 0.0)

    def test_an_empty_audience(self) -> None:
        with pytest.raises(OACConfigurationError, match=r"The audience .* is missing"):
            settings(audience=()).check()


class TestSecrets:
    def test_none_is_in_the_repr(self) -> None:
        text = repr(password(private_key=KEY, private_key_passphrase="key-passphrase", certificate="the-certificate"))
        assert not any(secret in text for secret in (*SECRETS, "the-certificate"))

    def test_all_are_known_to_whoever_masks(self) -> None:
        everything = password(private_key=KEY, private_key_passphrase="key-passphrase")
        assert set(everything.secrets) == set(SECRETS)

    def test_none_is_in_the_repr_of_the_request(self) -> None:
        assert "client-secret" not in repr(token_request(password(client_authentication="body"), 0.0))
        assert "eyJ" not in repr(token_request(settings(), 0.0))


class TestRequest:
    def test_of_the_default_grant_has_two_assertions(self) -> None:
        request = token_request(settings(), 1_700_000_000.0)
        fields = form(settings())
        assert (request.method, request.url) == ("POST", "https://idcs.example.com/oauth2/v1/token")
        assert fields["grant_type"] == JWT_BEARER
        assert fields["client_assertion_type"] == CLIENT_ASSERTION_TYPE
        assert fields["client_id"] == "the client"
        assert fields["assertion"] != fields["client_assertion"]
        assert "Authorization" not in request.headers

    def test_sends_the_scope_as_it_stands(self) -> None:
        odd = "https://a b?c=d&e=%41+urn:opc:resource:consumer::all offline_access"
        assert form(settings(scope=odd))["scope"] == odd
        assert form(password(scope=odd))["scope"] == odd

    def test_by_basic_encodes_id_and_secret_first(self) -> None:
        odd = password(client_id="a:b c", client_secret="s:e+c/r=%41&\u00e4")
        header = token_request(odd, 0.0).headers["Authorization"]
        client_id, _, secret = base64.b64decode(header.removeprefix("Basic ")).decode("ascii").partition(":")
        # A blank as %20: not every server reads a + as one.
        for decode in (unquote, unquote_plus):
            assert (decode(client_id), decode(secret)) == ("a:b c", "s:e+c/r=%41&\u00e4")
        assert not {"client_id", "client_secret"} & form(odd).keys()

    def test_authenticates_the_application_in_one_way_only(self) -> None:
        both = {"client_secret": "client-secret", "private_key": KEY, "certificate_alias": "alias"}
        ways = {}
        for how in (None, "assertion", "basic", "body"):
            request = token_request(password(**both, client_authentication=how), 0.0)
            fields = parse_qs((request.body or b"").decode())
            ways[how] = ("Authorization" in request.headers, "client_secret" in fields, "client_assertion" in fields)
        assert ways == {
            None: (False, False, True),
            "assertion": (False, False, True),
            "basic": (True, False, False),
            "body": (False, True, False),
        }

    def test_of_the_password_grant_keeps_every_character(self) -> None:
        fields = form(password(user="j\u00e4ne+x@example.com", user_password="p&=%41 +\u00e4\u20ac"))
        assert (fields["username"], fields["password"]) == ("j\u00e4ne+x@example.com", "p&=%41 +\u00e4\u20ac")

    def test_goes_to_the_same_place_with_or_without_a_slash_at_the_end(self) -> None:
        assert settings(identity_url="https://idcs.example.com/").token_url == settings().token_url

    def test_names_oracles_literal_audience_by_default(self) -> None:
        assert settings().audience == (DEFAULT_AUDIENCE,) == ("https://identity.oraclecloud.com/",)
