"""All errors that the provider raises, in one class tree.

They do not depend on Airflow, because the client works without it. A retry policy distinguishes them by class. None of
them ever holds a secret.
"""

from __future__ import annotations

import copy
from dataclasses import InitVar, dataclass
from typing import Any

from airflow_provider_oac.plain_text import plain


class OACError(Exception):
    """Base of every error that this provider raises. Its text holds no control characters."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*[plain(one) if isinstance(one, str) else one for one in arguments])

    def of(self, connection: str) -> None:
        """Put the Connection before the text, unless the text already names it.

        :param connection: its name in messages, such as ``Connection 'oac_default'``.
        """
        text = str(self)
        if connection not in text:
            self.args = (f"{connection}: {text}", *self.args[1:])

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions with keyword arguments cannot be copied or pickled otherwise, and Airflow does both.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[OACError], arguments: tuple[Any, ...], state: dict[str, Any]) -> OACError:
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    error.__dict__.update(state)
    return error


@dataclass(eq=False, repr=False)
class _WithFacts(OACError):
    """An error that carries facts for programs besides its text: the members of the subclass."""

    message: InitVar[str]

    def __post_init__(self, message: str) -> None:
        super().__init__(message)


class OACConfigurationError(OACError):
    """A Connection field, an operator argument or a key cannot work. A retry does not help."""


class OACSetupError(OACConfigurationError):
    """The settings to reach OAC or sign in cannot work: a key, a certificate, a CA file, a proxy, a missing store."""


@dataclass(kw_only=True, eq=False, repr=False)
class OACTransportError(_WithFacts):
    """No complete HTTP response arrived: name resolution, TLS, connecting, a reset, a timeout.

    :param message: what was being done and what happened.
    :param sent: whether the request may have reached the server. ``False`` only if that is certain.
    :param passing: whether the same request may work later (a refused certificate, for example, may not).
    """

    sent: bool
    passing: bool = True


class OACResponseError(OACError):
    """A response that breaks the API's contract: no JSON, a missing id, a body beyond the limit."""


class OACContentError(OACResponseError):
    """A downloaded file is incomplete, or of another type than requested."""


class OACIncompleteListError(OACError):
    """A list reached the length at which OAC cuts it off: items may be missing."""


class OACTakenError(OACError):
    """The target already exists."""


class OACStorageError(OACError):
    """A store for files (a folder, a bucket) failed."""


@dataclass(kw_only=True, eq=False, repr=False)
class OACAuthError(_WithFacts):
    """The identity domain refused a token, or its response is no token.

    :param message: the complete text for people.
    :param error: OAuth's ``error`` code (RFC 6749 section 5.2), if there was one.
    :param description: OAuth's ``error_description``.
    :param status: HTTP status.
    :param ecid: Oracle's execution context id, which Oracle Support asks for.
    :param cause: the likely cause.
    :param next_step: what to do.
    :param retryable: whether the same request may succeed later without a change.
    :param retry_after: seconds that the token service asked to wait, if it did.
    """

    error: str | None = None
    description: str | None = None
    status: int | None = None
    ecid: str | None = None
    cause: str | None = None
    next_step: str | None = None
    retryable: bool = False
    retry_after: float | None = None

    def saying(self, message: str) -> OACAuthError:
        """The same error with another text."""
        other = copy.copy(self)
        other.args = (message,)
        return other


@dataclass(kw_only=True, eq=False, repr=False)
class OACTokenStoreError(_WithFacts):
    """The token store cannot be read or written, or its content is not usable.

    :param message: the complete text for people.
    :param damaged: whether the store works, but its content is damaged.
    """

    damaged: bool = False

    @property
    def passing(self) -> bool:
        """Whether the store may work later without a change."""
        return not self.damaged


@dataclass(kw_only=True, eq=False, repr=False)
class OACApiError(_WithFacts):
    """OAC returned an error for a call.

    :param message: the complete text for people.
    :param status: HTTP status.
    :param code: OAC's short code, if the body had one.
    :param detail: OAC's own message.
    :param method: HTTP method of the call.
    :param path: path of the call, below the API base.
    :param request_id: an id of the request from the response's headers.
    :param retryable: whether the same call may succeed later without a change.
    :param missing_role: whether the user is signed in but lacks an application role.
    :param retry_after: seconds that OAC asked to wait, if it did.
    """

    status: int
    code: str | None = None
    detail: str | None = None
    method: str
    path: str
    request_id: str | None = None
    retryable: bool = False
    missing_role: bool = False
    retry_after: float | None = None


@dataclass(kw_only=True, eq=False, repr=False)
class OACQueryError(_WithFacts):
    """OAC refused a query, or the provider refused to send it.

    :param message: the complete text for people. It holds no value of a query.
    :param code: the most specific nQSError code that OAC named; ``None`` without one.
    :param codes: all nQSError codes, in OAC's order.
    """

    code: int | None = None
    codes: tuple[int, ...] = ()


@dataclass(kw_only=True, eq=False, repr=False)
class OACWorkRequestError(_WithFacts):
    """A work request ended FAILED or CANCELED, or in an unknown state.

    :param message: the complete text for people, with OAC's own errors.
    :param work_request_id: id of the work request.
    :param status: its last status.
    """

    work_request_id: str
    status: str


@dataclass(kw_only=True, eq=False, repr=False)
class OACWaitTimeoutError(_WithFacts):
    """A wait reached its deadline. The work continues in OAC.

    :param message: the complete text for people.
    :param work_request_id: id of the work request, if the wait was for one.
    """

    work_request_id: str | None = None


class OACUncertainError(OACError):
    """The response to a request does not show whether OAC accepted it, and a second request could do harm."""


class OACSupersededError(OACError):
    """This process is no longer the current try of its task, so it sends only requests that are safe to repeat."""


class OACKilledError(OACError):
    """The task was told to stop while it waited."""
