"""One tree of errors for everything the provider raises.

All of them are plain exceptions without Airflow, so that the client can be used outside of it and a retry
policy can tell them apart by class. None of them ever holds a secret.
"""

from __future__ import annotations

import copy
from typing import Any

from airflow_provider_oac.plain_text import plain


class OACError(Exception):
    """Base of every error that this provider raises. Its text holds no control characters, whoever wrote it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*[plain(one) if isinstance(one, str) else one for one in arguments])

    def of(self, connection: str) -> None:
        """Say which Connection it is about, unless the text does so already.

        :param connection: what to call it, such as ``Connection 'oac_default'``.
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


class OACConfigurationError(OACError):
    """Something that a person configured cannot work: a Connection field, an operator argument, a key.

    Trying again changes nothing.
    """


class OACSetupError(OACConfigurationError):
    """How to reach OAC or to sign in there cannot work: a key, a certificate, a CA file, a proxy, a missing store."""


class OACTransportError(OACError):
    """No complete HTTP answer came back: name resolution, TLS, connecting, a reset, a timeout.

    :param message: what was being done and what happened.
    :param sent: whether the request may have reached the server. ``False`` only if that is certain.
    :param passing: whether the same request may work later (a refused certificate, for example, may not).
    """

    def __init__(self, message: str, *, sent: bool, passing: bool = True) -> None:
        super().__init__(message)
        self.sent = sent
        self.passing = passing


class OACResponseError(OACError):
    """An answer came, but not one that the contract knows: not JSON, a missing id, a body beyond the limit."""


class OACContentError(OACResponseError):
    """A file was downloaded that is not whole, or not of the kind that was asked for."""


class OACIncompleteListError(OACError):
    """A list reached the length beyond which OAC shows nothing: something may be missing from it."""


class OACTakenError(OACError):
    """Something else is already where something was to go."""


class OACStorageError(OACError):
    """A store for files (a folder, a bucket) did not do what was asked of it."""


class OACAuthError(OACError):
    """The identity domain refused a token, or gave an answer that is none.

    :param message: the complete text for people.
    :param error: OAuth's ``error`` code (RFC 6749 section 5.2), if there was one.
    :param description: OAuth's ``error_description``.
    :param status: HTTP status.
    :param ecid: Oracle's execution context id, which Oracle Support asks for.
    :param cause: the likely cause.
    :param next_step: what to do.
    :param retryable: whether the same request may succeed later without anybody changing anything.
    :param retry_after: seconds after which the token service asked to come back.
    """

    def __init__(
        self,
        message: str,
        *,
        error: str | None = None,
        description: str | None = None,
        status: int | None = None,
        ecid: str | None = None,
        cause: str | None = None,
        next_step: str | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.error = error
        self.description = description
        self.status = status
        self.ecid = ecid
        self.cause = cause
        self.next_step = next_step
        self.retryable = retryable
        self.retry_after = retry_after

    def saying(self, message: str) -> OACAuthError:
        """The same error with another text."""
        other = copy.copy(self)
        other.args = (message,)
        return other


class OACTokenStoreError(OACError):
    """The store of tokens cannot be read or written, or holds what cannot be used.

    :param message: the complete text for people.
    :param damaged: whether the store answers, and what it holds is the trouble.
    """

    def __init__(self, message: str, *, damaged: bool = False) -> None:
        super().__init__(message)
        self.damaged = damaged

    @property
    def passing(self) -> bool:
        """Whether the store may work later without anybody changing anything."""
        return not self.damaged


class OACApiError(OACError):
    """OAC answered a call with an error.

    :param message: the complete text for people.
    :param status: HTTP status.
    :param code: OAC's short code, if the body had one.
    :param detail: OAC's own message.
    :param method: HTTP method of the call.
    :param path: path of the call, below the API base.
    :param request_id: an id of the request found in the answer's headers.
    :param retryable: whether the same call may succeed later without anybody changing anything.
    :param missing_role: whether the user is signed in but lacks an application role.
    :param retry_after: seconds after which OAC asks to come back, if it says so.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        detail: str | None = None,
        method: str,
        path: str,
        request_id: str | None = None,
        retryable: bool = False,
        missing_role: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.detail = detail
        self.method = method
        self.path = path
        self.request_id = request_id
        self.retryable = retryable
        self.missing_role = missing_role
        self.retry_after = retry_after


class OACWorkRequestError(OACError):
    """A work request ended FAILED or CANCELED, or in a state that nobody knows.

    :param message: the complete text for people, with OAC's own errors.
    :param work_request_id: id of the work request.
    :param status: its last status.
    """

    def __init__(self, message: str, *, work_request_id: str, status: str) -> None:
        super().__init__(message)
        self.work_request_id = work_request_id
        self.status = status


class OACWaitTimeoutError(OACError):
    """A wait reached its deadline. What was waited for goes on in OAC.

    :param message: the complete text for people.
    :param work_request_id: id of what was waited for, if it is a work request.
    """

    def __init__(self, message: str, *, work_request_id: str | None = None) -> None:
        super().__init__(message)
        self.work_request_id = work_request_id


class OACUncertainError(OACError):
    """It cannot be told whether OAC accepted a request, and sending it again could do harm."""


class OACSupersededError(OACError):
    """This process is no longer the current try of its task, so it sends nothing that must not be done twice."""


class OACKilledError(OACError):
    """The task was told to stop while it waited."""
