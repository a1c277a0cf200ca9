"""What is needed to sign in, checked before the first request."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.transport.settings import checked_url

JWT_ASSERTION = "jwt_assertion"
PASSWORD = "password"  # noqa: S105 (the name of a grant)
GRANTS = (JWT_ASSERTION, PASSWORD)

ASSERTION = "assertion"
BASIC = "basic"
BODY = "body"
CLIENT_AUTHENTICATIONS = (ASSERTION, BASIC, BODY)

# Older documents and every live sample name this audience; newer documents name the domain's own URL.
DEFAULT_AUDIENCE = "https://identity.oraclecloud.com/"


@dataclass(frozen=True)
class AuthSettings:
    """Everything that signing in needs. ``repr`` shows no secret.

    :param identity_url: address of the identity domain, such as ``https://idcs-….identity.oraclecloud.com``.
    :param client_id: id of the confidential application.
    :param scope: scope of the OAC instance as the application lists it. Opaque: it is sent as it stands.
    :param grant: ``jwt_assertion`` (default) or ``password``.
    :param user: the user to act as (``jwt_assertion``) or to sign in (``password``).
    :param client_secret: secret of the application.
    :param private_key: key that signs the assertions, in any form that
        :func:`airflow_provider_oac.auth.keys.load_private_key` reads.
    :param private_key_passphrase: its passphrase.
    :param certificate_alias: alias under which the certificate was imported into the application (``kid``).
    :param certificate: the certificate itself (PEM); adds its thumbprint as ``x5t``.
    :param user_password: password of the user, for ``password``.
    :param audience: audiences of the assertions; one or several.
    :param client_authentication: ``assertion``, ``basic`` or ``body``; by default what the given credentials
        allow: an assertion where there is a key, else the secret by Basic.
    """

    identity_url: str
    client_id: str
    scope: str
    grant: str = JWT_ASSERTION
    user: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)
    private_key_passphrase: str | None = field(default=None, repr=False)
    certificate_alias: str | None = None
    certificate: str | None = field(default=None, repr=False)
    user_password: str | None = field(default=None, repr=False)
    audience: tuple[str, ...] = (DEFAULT_AUDIENCE,)
    client_authentication: str | None = None

    @property
    def token_url(self) -> str:
        """Address of the token endpoint."""
        return self.identity_url.rstrip("/") + "/oauth2/v1/token"

    @property
    def client_authentication_used(self) -> str:
        """How the application proves who it is."""
        if self.client_authentication:
            return self.client_authentication
        return ASSERTION if self.private_key else BASIC

    @property
    def secrets(self) -> tuple[str, ...]:
        """All secret texts, to be masked in logs."""
        candidates = (self.client_secret, self.private_key, self.private_key_passphrase, self.user_password)
        return tuple(secret for secret in candidates if secret)

    def fingerprint(self, salt: bytes) -> str:
        """A name for the tokens of exactly this credential, fit as a key of a cache and as nothing else.

        An edited Connection gives another name, so that it never gets the tokens of its former self.

        :param salt: key of the HMAC, so that the name says nothing about the secrets.
        """
        parts = (
            self.token_url, self.client_id, self.scope, self.grant, self.user, self.certificate_alias,
            self.client_authentication_used, *self.audience, self.certificate, self.client_secret,
            self.private_key, self.private_key_passphrase, self.user_password,
        )  # fmt: skip
        text = "\0".join("\1" if part is None else part for part in parts)
        return hmac.new(salt, text.encode(), hashlib.sha256).hexdigest()

    def check(self) -> None:
        """Refuse what cannot work, before anything is sent.

        :raises OACConfigurationError: naming the field and what to put there.
        """
        checked_url(self.identity_url, "The identity domain's address (identity_url)")
        if self.grant == "client_credentials":
            # Documented: https://docs.oracle.com/en/cloud/paas/analytics-cloud/acapi/authenticate.html
            raise OACConfigurationError(
                "The grant client_credentials cannot work: OAC accepts tokens that carry a user only and answers "
                "HTTP 500 or 401 to others. Use jwt_assertion (the default), which acts as a user unattended."
            )
        if self.grant not in GRANTS:
            raise OACConfigurationError(f"Unknown grant {self.grant!r}. Known are: {', '.join(GRANTS)}.")
        if self.client_authentication not in (None, *CLIENT_AUTHENTICATIONS):
            raise OACConfigurationError(
                f"Unknown client_authentication {self.client_authentication!r}. "
                f"Known are: {', '.join(CLIENT_AUTHENTICATIONS)}."
            )
        for name, why in self._needed():
            if not getattr(self, name):
                raise OACConfigurationError(f"{_LABELS[name]} is missing; {why}.")

    def _needed(self) -> list[tuple[str, str]]:
        needed = [
            ("client_id", "it names the confidential application"),
            ("scope", "copy it from the application's resources in the identity domain's console"),
            ("user", "OAC needs a token that carries a user"),
        ]
        if self.grant == PASSWORD:
            needed += [("user_password", "the grant password signs in with it")]
        if self.client_authentication_used != ASSERTION:
            needed += [("client_secret", "the application proves with it who it is")]
        if self.client_authentication_used == ASSERTION or self.grant == JWT_ASSERTION:
            needed += [("private_key", "it signs the assertions")]
            if not self.certificate:
                needed += [("certificate_alias", "the identity domain finds the certificate by it (kid)")]
        return needed


_LABELS = {
    "client_id": "The client id (Connection: login)",
    "client_secret": "The client secret (Connection: password)",
    "scope": "The scope (Connection: extra, scope)",
    "user": "The user to act as (Connection: extra, user)",
    "private_key": "The private key (Connection: extra, private_key)",
    "certificate_alias": "The certificate's alias (Connection: extra, certificate_alias)",
    "user_password": "The user's password (Connection: extra, user_password)",
}
