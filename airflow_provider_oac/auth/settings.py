"""Sign-in settings, checked before the first request."""

from __future__ import annotations

import hashlib
import hmac
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.plain_text import word_or_length
from airflow_provider_oac.transport.settings import checked_url

JWT_ASSERTION = "jwt_assertion"
PASSWORD = "password"  # noqa: S105 (the name of a grant)
REFRESH_TOKEN = "refresh_token"  # noqa: S105 (the name of a grant)
DEVICE_CODE = "device_code"
GRANTS = (JWT_ASSERTION, PASSWORD, REFRESH_TOKEN, DEVICE_CODE)
# Grants that renew with a chain of refresh tokens, which begins when a person signs in and grows with each renewal.
CHAINED = (REFRESH_TOKEN, DEVICE_CODE)

ASSERTION = "assertion"
BASIC = "basic"
BODY = "body"
NONE = "none"
CLIENT_AUTHENTICATIONS = (ASSERTION, BASIC, BODY, NONE)

# Older documents and every live sample name this audience; newer documents name the domain's own URL.
DEFAULT_AUDIENCE = "https://identity.oraclecloud.com/"


@dataclass(frozen=True)
class AuthSettings:
    """Everything that signing in needs. ``repr`` shows no secret.

    :param identity_url: address of the identity domain, such as ``https://idcs-….identity.oraclecloud.com``.
    :param client_id: id of the confidential application.
    :param scope: scope of the OAC instance as the application lists it. Opaque: it is sent unchanged.
    :param grant: ``jwt_assertion`` (default), ``password``, ``refresh_token`` or ``device_code``.
    :param user: the user to act as (``jwt_assertion``) or to sign in (``password``); for the other grants, optional:
        the only user whose sign-in is accepted.
    :param client_secret: secret of the application.
    :param private_key: key that signs the assertions, in any form that
        :func:`airflow_provider_oac.auth.keys.load_private_key` reads.
    :param private_key_passphrase: its passphrase.
    :param certificate_alias: alias under which the certificate was imported into the application (``kid``).
    :param certificate: the certificate itself (PEM); adds its thumbprint as ``x5t``.
    :param user_password: password of the user, for ``password``.
    :param refresh_token: the first refresh token of the chain, for ``refresh_token``; without it, a sign-in by command
        must have stored one.
    :param audience: audiences of the assertions; one or several.
    :param client_authentication: ``assertion``, ``basic``, ``body`` or ``none`` (a public application; for
        ``refresh_token`` and ``device_code`` only); by default what the given credentials allow: an assertion where
        there is a key, else the secret by Basic, else none.
    :param file_folder: the only folder whose files ``private_key`` and ``certificate`` may name; ``None`` for no limit.
    :param resource: address of the server that the tokens are for. A token is never used for another server.
    :param name: name of this sign-in for people: the id of the Airflow Connection.
    :param mask: called with each token and assertion before it is first sent. It may block.
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
    refresh_token: str | None = field(default=None, repr=False)
    audience: tuple[str, ...] = (DEFAULT_AUDIENCE,)
    client_authentication: str | None = None
    file_folder: str | None = None
    resource: str = ""
    name: str = ""
    mask: Callable[[str], None] | None = field(default=None, repr=False, compare=False)

    @property
    def token_url(self) -> str:
        """Address of the token endpoint."""
        return self._endpoint("token")

    @property
    def device_url(self) -> str:
        """Address of the device authorization endpoint."""
        return self._endpoint("device")

    @property
    def revocation_url(self) -> str:
        """Address of the revocation endpoint."""
        return self._endpoint("revoke")

    def _endpoint(self, name: str) -> str:
        return f"{self.identity_url.rstrip('/')}/oauth2/v1/{name}"

    @property
    def uses_refresh_token(self) -> bool:
        """Whether each renewal needs the refresh token that the previous one returned."""
        return self.grant in CHAINED

    @property
    def client_authentication_used(self) -> str:
        """The method of client authentication in use."""
        if self.client_authentication:
            return self.client_authentication
        if self.private_key:
            return ASSERTION
        return NONE if self.uses_refresh_token and not self.client_secret else BASIC

    @property
    def signs(self) -> bool:
        """Whether signing in needs the private key."""
        return self.client_authentication_used == ASSERTION or self.grant == JWT_ASSERTION

    @property
    def secrets(self) -> tuple[str, ...]:
        """All secret texts, to be masked in logs."""
        candidates = (
            self.client_secret, self.private_key, self.private_key_passphrase, self.user_password, self.refresh_token,
        )  # fmt: skip
        return tuple(secret for secret in candidates if secret)

    @property
    def label(self) -> str:
        """Name of this sign-in in messages."""
        return f"Connection {self.name!r}" if self.name else f"client {self.client_id}"

    @property
    def login_step(self) -> str:
        """The next step in messages: how a person signs in again."""
        which = f" --oac-conn-id {shlex.quote(self.name)}" if self.name else ""
        return (
            f"sign in with `python -m airflow_provider_oac login{which}` (with Airflow's settings and Connections, "
            "on a machine that reaches the store)."
        )

    @property
    def store_key(self) -> str:
        """Key of this sign-in's tokens in a shared store: a hash that reveals no secret.

        It does not cover secrets that can be guessed (a password); :meth:`fingerprint` does. It covers the first
        refresh token, which cannot be guessed: two Connections that begin with the same one must share its chain.
        """
        kind, seed = self.grant, ""
        if self.uses_refresh_token:
            # Both grants continue from a stored refresh token, whether a person typed a code or pasted a token.
            kind = "chain"
            seed = f"seed {self.refresh_token}" if self.refresh_token else f"name {self.name}"
        parts = (self.token_url, self.resource, self.client_id, self.scope, kind, self.user or "", seed)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def fingerprint(self, salt: bytes) -> str:
        """An HMAC that identifies exactly this credential, for use as a cache key only.

        An edited Connection has another fingerprint, so it never gets the tokens of its former settings.

        :param salt: key of the HMAC, without which the fingerprint reveals nothing about the secrets.
        """
        parts = (
            self.token_url, self.resource, self.client_id, self.scope, self.grant, self.user, self.certificate_alias,
            self.client_authentication_used, *self.audience, self.certificate, self.client_secret,
            self.private_key, self.private_key_passphrase, self.user_password,
            self.store_key if self.uses_refresh_token else None,
        )  # fmt: skip
        text = "\0".join("\1" if part is None else part for part in parts)
        return hmac.new(salt, text.encode(), hashlib.sha256).hexdigest()

    def check(self) -> None:
        """Refuse settings that cannot work, before anything is sent.

        :raises OACConfigurationError: naming the field and what to put there.
        """
        checked_url(self.identity_url, "The identity domain's address (identity_url)")
        if self.grant == "client_credentials":
            # Documented: https://docs.oracle.com/en/cloud/paas/analytics-cloud/acapi/authenticate.html
            raise OACConfigurationError(
                "The grant client_credentials cannot work: OAC accepts tokens that carry a user only and answers "
                "HTTP 500 or 401 to others. Use jwt_assertion (the default), which acts as a user unattended."
            )
        choices = (
            (self.grant, "grant", GRANTS),
            (self.client_authentication, "client_authentication", CLIENT_AUTHENTICATIONS),
        )
        for value, name, known in choices:
            if value is not None and value not in known:
                given = word_or_length(value, self.secrets)
                raise OACConfigurationError(f"Unknown {name}: {given}. Known are: {', '.join(known)}.")
        if self.client_authentication == NONE and not self.uses_refresh_token:
            raise OACConfigurationError(
                f"client_authentication none is for public applications, which cannot use the grant {self.grant}. Use "
                "assertion, basic or body, or a grant with a refresh token."
            )
        # The key comes before the client secret: without a key, client_authentication defaults to the secret, and the
        # error would ask for that.
        needed = {
            "client_id": True,
            "scope": True,
            "user": not self.uses_refresh_token,
            "user_password": self.grant == PASSWORD,
            "private_key": self.signs,
            "audience": self.signs,
            "certificate_alias": self.signs and not self.certificate,
            "client_secret": self.client_authentication_used in (BASIC, BODY),
        }
        for name, wanted in needed.items():
            if wanted and not getattr(self, name):
                label, place, reason = _FIELDS[name]
                raise OACConfigurationError(f"The {label} (Connection: {place}) is missing; {reason}.")


# What a field is, where the Connection has it, and what it is for.
_FIELDS = {
    "client_id": ("client id", "login", "it names the confidential application"),
    "client_secret": ("client secret", "password", "the application proves with it who it is"),
    "scope": ("scope", "extra, scope", "copy it from the application's resources in the identity domain's console"),
    "user": ("user to act as", "extra, user", "OAC needs a token that carries a user"),
    "private_key": ("private key", "extra, private_key", "it signs the assertions"),
    "audience": ("audience", "extra, assertion_audience", "the identity domain checks for whom the assertions are"),
    "certificate_alias": (
        "certificate's alias",
        "extra, certificate_alias",
        "the domain finds the certificate by it (kid)",
    ),
    "user_password": ("user's password", "extra, user_password", "the grant password signs in with it"),
}
