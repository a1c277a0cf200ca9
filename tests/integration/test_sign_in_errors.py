"""Every way in which the simulator refuses a sign-in: what is said, that it is not tried again, and that nothing secret
shows."""

from __future__ import annotations

import logging
import pickle
import re
import traceback
from typing import Any
from urllib.parse import quote_plus

import pytest

from airflow_provider_oac.auth.session import mint
from airflow_provider_oac.exceptions import OACAuthError
from airflow_provider_oac.transport.retry import RetryPolicy
from oac_simulator.launch import Simulator
from tests.drivers import Drive, SignIn
from tests.unit.auth import keys_forms as forms

# As many attempts as in earnest, without their pauses.
AT_ONCE = RetryPolicy(attempts=4, base=0.01, cap=0.01)
OTHER_KEY = {"private_key": forms.pem("PKCS#8")}
OTHER_CERTIFICATE = {**OTHER_KEY, "certificate": forms.certificate_pem(), "certificate_alias": None}
OTHER_HOST = "https://vanity.example.comurn:opc:resource:consumer::all"


def application(**changes: Any) -> dict[str, Any]:
    """Settings of the simulator for our application."""
    return {"app": changes}


# What is wrong in the settings of the Connection and of the domain; the error, and its likely cause.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "key": (OTHER_KEY, {}, "invalid_request", "does not match the imported certificate"),
    "alias": ({"certificate_alias": "Airflow"}, {}, "server_error", "certificate alias"),
    "thumbprint": (OTHER_CERTIFICATE, {}, "server_error", "certificate alias"),
    "client id": ({"client_id": "0123456789abcdef"}, {}, "invalid_client", "client id or client secret is wrong"),
    "secret": ({"grant": "password", "client_secret": "not-the-secret"}, {}, "invalid_client", "client secret"),
    "no certificate": ({}, application(certificates={}), "invalid_client", "certificate is not registered"),
    "scope": ({"scope": OTHER_HOST}, {}, "invalid_scope", "the scope has the wrong host"),
    "no scope": ({}, application(allowed_scopes=[]), "invalid_scope", "not among the application's resources"),
    "unknown user": ({"user": "nobody@example.com"}, {}, "invalid_grant", "named differently"),
    "inactive user": ({"user": "oac.inactive@example.com"}, {}, "invalid_grant", "the user is deactivated"),
    "password": ({"grant": "password", "user_password": "not-it"}, {}, "invalid_grant", "user name or password"),
    "federated user": (
        {"grant": "password", "user": "oac.federated@example.com"}, {}, "invalid_grant", "another identity provider",
    ),
    "inactive application": ({}, application(active=False), "invalid_client", "application is not activated"),
    "no JWT Assertion": (
        {}, application(grants=["client_credentials", "password"]), "unauthorized_client", "grant is not ticked",
    ),
    "no Client Credentials": (
        {}, application(grants=["jwt-bearer", "password"]), "server_error", "Client Credentials is not ticked",
    ),
    "audience": ({"audience": ("https://another.example.com/",)}, {}, "invalid_grant", "does not accept the audience"),
    "clock": ({}, {"clock_offset": 3600}, "invalid_request", "s behind the identity domain's; otherwise: "),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_is_explained_and_not_tried_again(
    name: str, drive: Drive, sign_in: SignIn, clean: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    changes, domain, error, cause = CASES[name]
    clean.control.settings(**domain)
    settings = sign_in.settings(**changes)
    with caplog.at_level(logging.DEBUG), pytest.raises(OACAuthError) as caught:
        drive(lambda io: mint(io, settings, AT_ONCE))
    refused = caught.value
    assert (refused.error, refused.retryable) == (error, False)
    assert cause in (refused.cause or "")
    assert ("this machine's clock is" in str(refused)) is (name == "clock")
    assert clean.control.calls("identity", "token") == 1
    # Nothing secret, not even encoded: neither in the exception, its traceback and its pickle, nor in the log.
    shown = "\n".join([*traceback.format_exception(refused), repr(refused), str(vars(refused)), caplog.text])
    shown += pickle.dumps(refused).decode("latin-1")
    secrets = {form for secret in settings.secrets for form in (secret, quote_plus(secret))}
    secrets |= {line for line in (settings.private_key or "").splitlines()[1:-1] if len(line) > 20}
    assert not [secret for secret in secrets if secret in shown]
    assert not re.findall(r"eyJ[\w-]{10,}|Basic ", shown)
