"""Send requests to the token service and read its responses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from airflow_provider_oac.auth.errors import auth_error, unusable_token
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.token import Issued, Token, read_token
from airflow_provider_oac.counters import count
from airflow_provider_oac.exceptions import OACResponseError
from airflow_provider_oac.transport.io import IO, Request, Response
from airflow_provider_oac.transport.retry import RetryPolicy, send

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
    requested_at = io.now()

    def request() -> Request:
        # Loads the code that reads keys and signs, which takes time. A task with a stored token does not need it.
        from airflow_provider_oac.auth.grants import token_request

        return token_request(settings, io.now())

    async def make() -> Request:
        nonlocal requested_at
        await before_each()
        requested_at = io.now()
        count("token_calls")
        return await io.to_thread(request)

    response = await send(io, make, repeatable=True, policy=policy)
    if response.status != 200:
        raise auth_error(settings, response, io.now())
    return issued_by(settings, response, requested_at)


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


def issued_by(settings: AuthSettings, response: Response, requested_at: float) -> Issued:
    """Read a successful response.

    :param requested_at: time before the request was sent, in seconds since the epoch.
    :raises OACAuthError: if the response holds no usable token.
    """
    try:
        body = response.json()
        if not isinstance(body, dict):
            raise OACResponseError("The token service's response is JSON, but not an object.")
        refresh = body.get("refresh_token")
        return Issued(read_token(body, requested_at), refresh if isinstance(refresh, str) and refresh else None)
    except OACResponseError as problem:
        raise unusable_token(settings, response, problem) from None


async def mint(io: IO, settings: AuthSettings, policy: RetryPolicy = RENEWAL) -> Token:
    """Get an access token for a credential, bypassing every cache. Flow.

    :raises OACAuthError: if the token service refuses.
    :raises OACTransportError: if it cannot be reached.
    """
    return (await ask(io, settings, policy)).token
