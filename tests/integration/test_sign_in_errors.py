"""Every way in which signing in fails, over HTTP: what is said, what is tried again, and that nothing secret shows."""

from __future__ import annotations

import copy
import logging
import pickle
import re
import traceback
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

import pytest

from airflow_provider_oac.auth.session import mint
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.exceptions import OACAuthError, OACTransportError
from airflow_provider_oac.transport.retry import RetryPolicy
from oac_simulator.launch import Simulator
from tests.drivers import Drive, SignIn
from tests.integration.servers import unused_port
from tests.unit.auth import keys_forms as forms

# As many attempts as in earnest, without their pauses.
AT_ONCE = RetryPolicy(attempts=4, base=0.01, cap=0.01)
BY_SECRET = {"grant": "password"}
TOKEN_CALLS = ("identity", "token")


def assert_nothing_secret(settings: AuthSettings, error: BaseException, log: str) -> None:
    """Neither in the exception, its traceback and its pickle, nor in the log, not even encoded."""
    shown = "\n".join([*traceback.format_exception(error), repr(error), str(vars(error)), log])
    shown += pickle.dumps(error).decode("latin-1")
    forms_of_secrets = {form for secret in settings.secrets for form in (secret, quote_plus(secret))}
    forms_of_secrets |= {line for line in (settings.private_key or "").splitlines()[1:-1] if len(line) > 20}
    assert not [secret for secret in forms_of_secrets if secret in shown]
    assert not re.findall(r"eyJ[\w-]{10,}", shown)
    assert "Basic " not in shown


def refused(
    drive: Drive, settings: AuthSettings, caplog: pytest.LogCaptureFixture, policy: RetryPolicy = AT_ONCE
) -> OACAuthError:
    with caplog.at_level(logging.DEBUG), pytest.raises(OACAuthError) as caught:
        drive(lambda io: mint(io, settings, policy))
    error = caught.value
    assert_nothing_secret(settings, error, caplog.text)
    assert str(error).startswith(f"Signing in at {settings.identity_url} (grant {settings.grant}")
    assert error.cause
    assert error.next_step
    assert str(error).endswith(f"Likely cause: {error.cause}. Next step: {error.next_step}")
    again = copy.copy(error)
    assert (str(again), vars(again)) == (str(error), vars(error))
    return error


@dataclass(frozen=True)
class Case:
    """Something wrong, and what is said to it.

    :param settings: what is wrong in the settings.
    :param app: what is wrong in the application.
    :param user: what is wrong with the user.
    """

    error: str
    description: str
    cause: str
    next_step: str
    status: int = 400
    settings: dict[str, Any] | None = None
    app: dict[str, Any] | None = None
    user: dict[str, Any] | None = None


CASES = {
    "wrong key": Case(
        "invalid_request", "signature", "does not match the imported certificate", "Import the certificate",
        settings={"private_key": forms.pem("PKCS#8")},
    ),
    "wrong alias": Case(
        "server_error", "system error", "certificate alias", "character by character",
        settings={"certificate_alias": "Airflow"},
    ),
    "wrong alias by thumbprint": Case(
        "server_error", "system error", "certificate alias", "character by character",
        settings={"private_key": forms.pem("PKCS#8"), "certificate": forms.certificate_pem(),
                  "certificate_alias": None},
    ),
    "client id or client secret is wrong": Case(
        "invalid_client", "failed", "client id or client secret is wrong", "client id and secret", 401,
        settings={"client_id": "0123456789abcdef"},
    ),
    "wrong secret by Basic": Case(
        "invalid_client", "failed", "client secret", "regenerated secret", 401,
        settings={**BY_SECRET, "client_secret": "not-the-secret"},
    ),
    "no certificate registered": Case(
        "invalid_client", "No certificate", "certificate is not registered", "certificate is imported", 401,
        app={"certificates": {}},
    ),
    "wrong scope": Case(
        "invalid_scope", "scope", "the scope has the wrong host", "Token issuance policy",
        settings={"scope": "https://vanity.example.comurn:opc:resource:consumer::all"},
    ),
    "scope that the application does not have": Case(
        "invalid_scope", "scope", "not among the application's resources", "Token issuance policy",
        app={"allowed_scopes": []},
    ),
    "unknown user": Case(
        "invalid_grant", "does not exist", "named differently", "user name",
        settings={"user": "nobody@example.com"},
    ),
    "inactive user": Case(
        "invalid_grant", "not active", "the user is deactivated", "Activate",
        settings={"user": "oac.inactive@example.com"},
    ),
    "wrong user password": Case(
        "invalid_grant", "incorrect", "user name or password", "user_password",
        settings={**BY_SECRET, "user_password": "not-the-password"},
    ),
    "federated user with a password": Case(
        "invalid_grant", "incorrect", "another identity provider", "grant jwt_assertion",
        settings={**BY_SECRET, "user": "oac.federated@example.com"},
    ),
    "inactive application": Case(
        "invalid_client", "inactive", "application is not activated", "Activate the application", 401,
        app={"active": False},
    ),
    "grant JWT Assertion not ticked": Case(
        "unauthorized_client", "not allowed", "grant is not ticked", "Tick JWT Assertion",
        app={"grants": ["client_credentials", "password"]},
    ),
    "grant Client Credentials not ticked": Case(
        "server_error", "system error", "Client Credentials is not ticked", "Client Credentials",
        app={"grants": ["jwt-bearer", "password"]},
    ),
    "wrong audience": Case(
        "invalid_grant", "Audience", "does not accept the audience", "assertion_audience",
        settings={"audience": ("https://another.example.com/",)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_is_explained_and_not_tried_again(
    name: str, drive: Drive, sign_in: SignIn, clean: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    case = CASES[name]
    if case.app:
        clean.control.settings(app=case.app)
    if case.user:
        clean.control.user("oac.admin@example.com", **case.user)
    error = refused(drive, sign_in.settings(**(case.settings or {})), caplog)
    assert (error.error, error.status, error.retryable) == (case.error, case.status, False)
    assert case.description.lower() in (error.description or "").lower()
    assert case.cause in (error.cause or "")
    assert case.next_step in (error.next_step or "")
    assert "clock is" not in (error.cause or "").replace("the clock is wrong", "")
    assert clean.control.calls(*TOKEN_CALLS) == 1


@pytest.mark.parametrize(("offset", "side"), [(3600, "behind"), (-3600, "ahead of")])
@pytest.mark.parametrize("settings", [{}, {"grant": "password", "client_authentication": "assertion"}])
def test_a_clock_that_is_off_is_named(
    settings: dict[str, str], offset: float, side: str, drive: Drive, sign_in: SignIn, clean: Simulator,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    clean.control.settings(clock_offset=offset)
    error = refused(drive, sign_in.settings(**settings), caplog)
    assert re.search(rf"this machine's clock is 3[56]\d\d s {side} the identity domain's; otherwise: ", str(error))
    assert (error.next_step or "").startswith("Correct this machine's clock (NTP) first.")


class TestPassing:
    """Tried again, with pauses, up to the last attempt."""

    def test_a_domain_that_cannot_be_reached_is_a_transport_error(
        self, drive: Drive, sign_in: SignIn, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings = sign_in.settings(identity_url=f"http://127.0.0.1:{unused_port()}")
        with caplog.at_level(logging.DEBUG), pytest.raises(OACTransportError, match="connection was refused") as caught:
            drive(lambda io: mint(io, settings, AT_ONCE))
        assert caught.value.passing
        assert_nothing_secret(settings, caught.value, caplog.text)


class TestWrongAddress:
    """What answers is no token service."""

    def test_a_path_without_a_token_service(
        self, drive: Drive, sign_in: SignIn, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings = sign_in.settings(identity_url=sign_in.url("dev") + "/ui")
        error = refused(drive, settings, caplog)
        assert error.status == 404
        assert "identity domain, not of OAC" in (error.next_step or "")
