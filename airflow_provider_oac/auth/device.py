"""Sign a person in with a device code (RFC 8628), by a command or a web page, and out again.

Oracle documents the request, and a response without ``interval`` and ``verification_uri_complete``. It does not
document the errors of a poll; those of RFC 8628 section 3.5 are expected (inferred).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from airflow_provider_oac.auth.errors import auth_error, unusable_token
from airflow_provider_oac.auth.grants import device_request, device_token_request
from airflow_provider_oac.auth.settings import NONE, AuthSettings
from airflow_provider_oac.auth.shared_store import keep_sign_in, locked
from airflow_provider_oac.auth.store import Record, StoreEntry
from airflow_provider_oac.auth.token import Issued, read_seconds
from airflow_provider_oac.auth.token_endpoint import RENEWAL, issued_by, revoke
from airflow_provider_oac.exceptions import OACAuthError, OACResponseError, OACTokenStoreError, OACTransportError
from airflow_provider_oac.transport.io import IO, Request, Response
from airflow_provider_oac.transport.redaction import error_object
from airflow_provider_oac.transport.retry import ONCE, PASSING, retry_after, send

# Seconds between polls if the response names no interval (RFC 8628 section 3.2), and seconds that slow_down adds for
# good (section 3.5).
_INTERVAL = 5.0
_SLOWER = 5.0
# The value in Oracle's example, if the response lacks expires_in, which the RFC requires.
_EXPIRES_IN = 300.0
_LONGEST_INTERVAL = 60.0
# Bounds for a domain's values.
_SHORTEST_INTERVAL = 1.0
_LONGEST_LIFE = 3600.0
_DAY = 86_400.0
_LONGEST_TEXT = 8192
# What ends a sign-in, by the error of a poll: its cause and the next step.
_ENDS = {
    "access_denied": ("the person denied the request", "Sign in again, and choose to allow it."),
    "expired_token": ("the code expired", "Sign in again, and approve the code in time."),
}
_NOT_REVOKED = (
    "The store has deleted the refresh token, but it was not revoked: the identity domain may accept it until it "
    "expires. End the user's sessions, or regenerate the application's secret, in the identity domain's console."
)


@dataclass(frozen=True)
class DeviceCode:
    """What the person needs to approve a sign-in.

    :param user_code: the code to type.
    :param verification_uri: where to type it.
    :param verification_uri_complete: the same address with the code in it, if the domain gives one.
    :param expires_at: when the code expires, in seconds since the epoch.
    :param interval: seconds between two polls.
    """

    device_code: str = field(repr=False)
    user_code: str
    verification_uri: str
    verification_uri_complete: str | None
    expires_at: float
    interval: float


async def sign_in_and_keep(
    io: IO,
    store_entry: StoreEntry,
    settings: AuthSettings,
    show: Callable[[DeviceCode], None],
    waiting: Callable[[float], None],
) -> Record:
    """Let a person sign in with a code, and store the tokens. Flow.

    :param store_entry: the entry in the store. Its content is replaced once the person has signed in.
    :param show: shows the code and the address to the person.
    :param waiting: called before each poll with the seconds left. An exception from it ends the sign-in.
    :returns: the stored record.
    :raises OACAuthError: if the person denies the request or does not approve it in time, or the domain refuses.
    :raises OACConfigurationError: if the user who signed in is not the one in the settings.
    :raises OACTokenStoreError: if the store cannot be used; in most cases before the person is asked to sign in.
    :raises OACTransportError: if the domain cannot be reached.
    """
    # Fail before the person acts if the store cannot be used. Damaged content is replaced.
    async with locked(io, store_entry):
        pass
    issued = await device_sign_in(io, settings, show, waiting)
    return await keep_sign_in(io, store_entry, settings, issued, None)


async def forget(io: IO, store_entry: StoreEntry, settings: AuthSettings) -> bool:
    """Revoke the refresh token and delete the sign-in from the store. Flow.

    :returns: whether there was a refresh token.
    :raises OACAuthError: if the domain refuses to revoke it. The store has already deleted it.
    :raises OACTransportError: if the domain cannot be reached. The store has already deleted it.
    :raises OACTokenStoreError: if the store cannot be changed, or if it deleted damaged content whose refresh token
        could not be read and so not revoked.
    """
    stored, unread = None, None
    async with locked(io, store_entry):
        try:
            stored = await io.to_thread(store_entry.read)
        except OACTokenStoreError as problem:
            if not problem.damaged:
                raise
            unread = problem
        await io.to_thread(store_entry.delete)
    refresh = (stored.record.refresh_token if stored else None) or settings.refresh_token
    if unread and settings.uses_refresh_token and refresh is None:
        raise OACTokenStoreError(f"{unread} {_NOT_REVOKED}", damaged=True)
    if refresh is None or not settings.uses_refresh_token:
        return False
    try:
        await revoke(io, replace(settings, refresh_token=refresh))
    except OACTransportError as error:
        raise OACTransportError(f"{error} {_NOT_REVOKED}", sent=error.sent, passing=error.passing) from error
    except OACAuthError as error:
        raise error.saying(f"{error} {_NOT_REVOKED}") from None
    return True


async def device_sign_in(
    io: IO, settings: AuthSettings, show: Callable[[DeviceCode], None], waiting: Callable[[float], None]
) -> Issued:
    """Let a person sign in with a code. Flow.

    It waits for the person, so it does not belong in a scheduled task.

    :param settings: checked settings of the grant ``device_code`` or ``refresh_token``.
    :param show: shows the code and the address to the person.
    :param waiting: called before each poll with the seconds left.
    :returns: the tokens, with a refresh token.
    :raises OACAuthError: if the person denies the request or does not approve it in time, or if the domain refuses or
        issues no refresh token.
    :raises OACTransportError: if the domain cannot be reached.
    """
    # Fail before the person acts if the key cannot be read.
    await io.to_thread(lambda: device_token_request(settings, "", io.now()))
    code = await _begin(io, settings)
    show(code)
    issued = await _poll(io, settings, code, waiting)
    if issued.refresh_token is None:
        raise OACAuthError(
            f"Signing in at {settings.identity_url} brought no refresh token, which tasks need. Likely cause: this "
            "application or the OAC instance's application does not allow it. Next step: in the identity domain's "
            "console, tick Refresh Token in this application's grant types, and Allow token refresh in the OAC "
            "instance's application. Then sign in again."
        )
    return issued


async def _begin(io: IO, settings: AuthSettings) -> DeviceCode:
    authenticated = False

    def make() -> Awaitable[Request]:
        return io.to_thread(lambda: device_request(settings, io.now(), authenticated=authenticated))

    requested_at = io.now()
    response = await send(io, make, repeatable=True, policy=RENEWAL)
    refused = response.status == 401 or error_object(response).get("error") == "invalid_client"
    if refused and settings.client_authentication_used != NONE:
        authenticated, requested_at = True, io.now()
        response = await send(io, make, repeatable=True, policy=RENEWAL)
    if response.status != 200:
        raise auth_error(settings, response, io.now(), renewing=False)
    body = error_object(response)
    values = {name: body.get(name) for name in ("device_code", "user_code", "verification_uri")}
    # An early draft of the RFC, which Oracle's older pages follow, calls it verification_url.
    values["verification_uri"] = values["verification_uri"] or body.get("verification_url")
    texts = {name: text for name, value in values.items() if (text := _text(value))}
    if missing := sorted(set(values) - set(texts)):
        problem = OACResponseError(f"The response to the request for a device code has no usable {', '.join(missing)}.")
        raise unusable_token(settings, response, problem)
    return DeviceCode(
        **texts,
        verification_uri_complete=_text(body.get("verification_uri_complete")),
        expires_at=requested_at + min(_LONGEST_LIFE, read_seconds(body.get("expires_in"), _EXPIRES_IN, _DAY)),
        interval=max(_SHORTEST_INTERVAL, read_seconds(body.get("interval"), _INTERVAL, _DAY)),
    )


def _text(value: object) -> str | None:
    """A text of the response, if a terminal or a page can show it."""
    usable = isinstance(value, str) and len(value) <= _LONGEST_TEXT and value.isprintable() and value.strip()
    return str(value) if usable else None


async def _poll(io: IO, settings: AuthSettings, code: DeviceCode, waiting: Callable[[float], None]) -> Issued:
    interval, retry_in, trouble = code.interval, 0.0, ""

    def make() -> Awaitable[Request]:
        return io.to_thread(lambda: device_token_request(settings, code.device_code, io.now()))

    while True:
        left, pause = code.expires_at - io.now(), max(interval, retry_in)
        # Never poll before the interval is over: the domain refuses a poll after the code expires anyway.
        if left < pause:
            cause = f"the domain had trouble: {trouble}" if trouble else "no user approved the code in time"
            raise _ended(settings, cause, "Sign in again, and approve the code at once.")
        waiting(left)
        await io.sleep(pause)
        requested_at, retry_in, trouble = io.now(), 0.0, ""
        try:
            response = await send(io, make, repeatable=True, policy=ONCE)
        except OACTransportError as error:
            if not error.passing:
                raise
            # RFC 8628 section 3.5: poll less often after a timeout.
            interval, trouble = _slower(interval), str(error)
            continue
        if response.status == 200:
            return issued_by(settings, response, requested_at)
        interval = _next_interval(settings, response, interval, io.now())
        if response.status in PASSING:
            retry_in, trouble = retry_after(response, io.now()) or 0.0, f"HTTP {response.status}"


def _next_interval(settings: AuthSettings, response: Response, interval: float, now: float) -> float:
    """Seconds to wait after a response without a token.

    :raises OACAuthError: unless the domain still waits for the person, or has a passing failure.
    """
    body = error_object(response)
    error, description = body.get("error"), body.get("error_description")
    if error == "slow_down":
        return interval + _SLOWER
    if error == "authorization_pending":
        return interval
    if isinstance(error, str) and error in _ENDS:
        raise _ended(settings, *_ENDS[error], error)
    if response.status in PASSING and error != "invalid_client":
        return _slower(interval)
    if error and 400 <= response.status < 500 and isinstance(description, str) and "pending" in description.lower():
        return interval
    raise auth_error(settings, response, now, renewing=False)


def _slower(interval: float) -> float:
    """The interval after a timeout: doubled, and never shorter than it was."""
    return max(interval, min(_LONGEST_INTERVAL, interval * 2))


def _ended(settings: AuthSettings, cause: str, next_step: str, error: str | None = None) -> OACAuthError:
    message = f"Signing in at {settings.identity_url} with a device code failed: {cause}. Next step: {next_step}"
    return OACAuthError(message, error=error, cause=cause, next_step=next_step)
