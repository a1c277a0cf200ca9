"""Send requests to the token service and read its responses."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from airflow_provider_oac.auth.errors import auth_error, unusable_token
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.token import Issued, Token, read_token
from airflow_provider_oac.counters import count
from airflow_provider_oac.exceptions import OACResponseError
from airflow_provider_oac.transport.io import IO, Request, Response
from airflow_provider_oac.transport.redaction import quoted
from airflow_provider_oac.transport.retry import RetryPolicy, send

log = logging.getLogger(__name__)

# Store keys whose tokens have less than the requested scope. A renewal does not change that, so INFO logs it once.
_narrowed: set[str] = set()
RENEWAL = RetryPolicy(attempts=4, base=0.5, cap=10.0)


async def _nothing() -> None:
    pass


async def ask(
    io: IO,
    settings: AuthSettings,
    policy: RetryPolicy = RENEWAL,
    before_each: Callable[[], Awaitable[None]] = _nothing,
) -> Issued:
    """Request a token from the token service, bypassing every cache. Flow.

    It retries every passing failure with new assertions. This is safe with a refresh token, too: either the first
    request never arrived, or its response is lost, and the new refresh token with it.

    :param settings: with the refresh token to use now, for a grant that uses one.
    :param before_each: awaited before each request.
    :raises OACAuthError: if the token service refuses.
    :raises OACTransportError: if it cannot be reached.
    """
    asked_at = io.now()

    def request() -> Request:
        # Loads the code that reads keys and signs, which takes time. A task with a stored token does not need it.
        from airflow_provider_oac.auth.grants import token_request

        return token_request(settings, io.now())

    async def make() -> Request:
        nonlocal asked_at
        await before_each()
        asked_at = io.now()
        count("token_calls")
        return await io.to_thread(request)

    response = await send(io, make, repeatable=True, policy=policy)
    if response.status != 200:
        raise auth_error(settings, response, io.now())
    return issued_by(settings, response, asked_at)


async def revoke(io: IO, settings: AuthSettings, policy: RetryPolicy = RENEWAL) -> None:
    """Revoke the refresh token of these settings. Flow.

    :raises OACAuthError: if the token service refuses.
    :raises OACTransportError: if it cannot be reached.
    """
    # Imported late, as in `ask`.
    from airflow_provider_oac.auth.grants import revocation_request

    def make() -> Awaitable[Request]:
        return io.to_thread(lambda: revocation_request(settings, io.now()))

    response = await send(io, make, repeatable=True, policy=policy)
    # RFC 7009 section 2.2: the server answers 200 also for a token that is no longer valid.
    if not 200 <= response.status < 300:
        raise auth_error(settings, response, io.now())


def issued_by(settings: AuthSettings, response: Response, asked_at: float) -> Issued:
    """Read a successful response.

    :param asked_at: time before the request was sent, in seconds since the epoch.
    :raises OACAuthError: if the response holds no usable token.
    """
    try:
        answer = response.json()
        if not isinstance(answer, dict):
            raise OACResponseError("The token service's answer is JSON, but not an object.")
        refresh = answer.get("refresh_token")
        issued = Issued(read_token(answer, asked_at), refresh if isinstance(refresh, str) and refresh else None)
    except OACResponseError as problem:
        raise unusable_token(settings, response, problem) from None
    granted = answer.get("scope")
    wanted = set(settings.scope.split()) - {"offline_access"}
    # RFC 6749 section 5.1: a server that grants less says so.
    if isinstance(granted, str) and (missing := wanted - set(granted.split())):
        log.log(
            logging.DEBUG if settings.store_key in _narrowed else logging.INFO,
            "%s granted less than the requested scope: %s is missing.",
            settings.identity_url, quoted(" ".join(sorted(missing)), settings.secrets),
        )  # fmt: skip
        _narrowed.add(settings.store_key)
    return issued


async def mint(io: IO, settings: AuthSettings, policy: RetryPolicy = RENEWAL) -> Token:
    """Get an access token for a credential, bypassing every cache. Flow.

    :raises OACAuthError: if the token service refuses.
    :raises OACTransportError: if it cannot be reached.
    """
    return (await ask(io, settings, policy)).token
