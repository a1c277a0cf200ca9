"""Submit once: start or create something in OAC exactly once, although OAC has no idempotency key.

One flow serves every kind of work. A kind is a small object that knows what to send, how OAC shows that it acted, and
what a refusal means.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from airflow_provider_oac.client.api import Api, flow
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.counters import count
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACAuthError,
    OACConfigurationError,
    OACError,
    OACKilledError,
    OACSupersededError,
    OACTokenStoreError,
    OACTransportError,
    OACUncertainError,
)

A = TypeVar("A")
R = TypeVar("R")

_POLL_INTERVAL = 2.0
# A request is sent only within this many seconds after a search for traces.
TRACES_HOLD = 60.0
# How often OAC may ask to wait for longer than that.
_LONG_PAUSES = 3


@dataclass(frozen=True)
class Attempts:
    """Callbacks of a task around each attempt to send a request; by default they do nothing, for use outside a task.

    :param remember: called before each attempt with the clue of :class:`Submission`.
    :param take_back: called when OAC certainly did not act on the remembered attempt.
    :param check_current: called directly before each request. Raises
        :class:`~airflow_provider_oac.exceptions.OACSupersededError` unless this is the task's current try.
    """

    remember: Callable[[Any], None] = lambda _clue: None
    take_back: Callable[[], None] = lambda: None
    check_current: Callable[[], None] = lambda: None


@dataclass(kw_only=True)
class Submission(ABC, Generic[A, R]):
    """One kind of work for :func:`submit_once`.

    :param suspect: whether an earlier try may have sent the request.
    :param confirmation_timeout: seconds to search for traces of a request that OAC may have accepted.
    """

    suspect: bool = False
    confirmation_timeout: float = 30.0

    # Most requests that are sent if responses are lost and no traces are found.
    sends: ClassVar[int] = 3
    # Where OAC shows traces of the work; empty if nowhere, so a lost response is never followed by another request.
    where: ClassVar[str] = ""

    @property
    @abstractmethod
    def doing(self) -> str:
        """Describe the request for messages: "reload dataset 'x'"."""

    @property
    def looks_first(self) -> bool:
        """Whether to search for traces before anything is sent."""
        return self.suspect

    @property
    def clue(self) -> Any:
        """Data that a later try needs to find traces of the next request."""
        return None

    async def trace(self, api: Api, lost: OACError | None) -> R | None:
        """Search once for traces.

        :param lost: the error that left an attempt of this try uncertain; ``None`` if there was none.
        :returns: the result that the traces show; ``None`` if there are no traces.
        """
        return None

    async def prepare(self, api: Api) -> None:
        """Read what :meth:`call` and :meth:`trace` need; called once, before the first attempt."""

    @abstractmethod
    def call(self, now: float) -> Call[A]:
        """Return the next request.

        :param now: seconds since the epoch.
        """

    @abstractmethod
    def accepted(self, api: Api, answer: A) -> R:
        """Return the result of a request that OAC has accepted."""

    async def refused(self, api: Api, error: OACApiError, lost: OACError | None) -> R | None:
        """Decide what a refusal means.

        :returns: a result; ``None`` to send it again.
        :raises OACError: the refusal, unless it means something else.
        """
        raise error

    def uncertain(self, lost: OACError, sends: int) -> OACError:
        """Return the error if no attempt led to a usable response and OAC shows no traces."""
        return OACUncertainError(
            f"Could not {self.doing}: {sends} requests had no usable response, and {self.where} shows no result. Next "
            f"step: check the instance, then run the task again; it searches {self.where} first. Last failure: {lost}"
        )


class _StaleError(OACError):
    """The last search for traces is too old to send a request."""


@flow
async def submit_once(api: Api, kind: Submission[A, R], task: Attempts = Attempts()) -> R:
    """Submit work unless OAC shows that it already has it, and return when OAC has accepted it.

    Guarantee: exactly one submission, provided that OAC shows traces as soon as it accepts a request.

    :param kind: the work.
    :param task: the task's callbacks around each attempt.
    :raises OACUncertainError: if it is not known whether OAC accepted the work.
    :raises OACSupersededError: if another try of the task has taken over. Nothing is sent.
    :raises OACError: if OAC refuses.
    """
    lost: OACError | None = None
    searched, left = api.now(), False

    def before_send() -> None:
        nonlocal left
        task.check_current()
        if kind.where and abs(api.now() - searched) > TRACES_HOLD:
            raise _StaleError
        left = True

    if kind.looks_first:
        patience = kind.confirmation_timeout if kind.suspect else 0.0
        if patience > 0:
            api.report(
                f"An earlier try may have sent the request to {kind.doing}. Searching {kind.where} for up to "
                f"{patience:.0f} s before sending."
            )
        found = await search(api, lambda: kind.trace(api, None), patience)
        if found is not None:
            if kind.suspect:
                count("reattached")
            return found
    await kind.prepare(api)
    searched = api.now()
    refusal: OACError = OACError(
        f"Could not {kind.doing}: OAC repeatedly asked to wait. Nothing was sent. Next step: run the task again."
    )
    sends = pauses = 0
    while sends < kind.sends and pauses < _LONG_PAUSES:
        call, left = kind.call(api.now()), False
        task.remember(kind.clue)
        try:
            return kind.accepted(api, await api.perform(call, before_send=before_send))
        except (OACKilledError, OACSupersededError):
            raise
        except OACError as error:
            if not (left and may_have_acted(error)):
                if lost is None:
                    task.take_back()
                if isinstance(error, _StaleError):
                    pauses += 1
                    found = await kind.trace(api, lost)
                elif isinstance(error, OACApiError):
                    sends += 1
                    refusal = error
                    found = await kind.refused(api, error, lost)
                else:
                    raise
            elif not kind.where:
                raise kind.uncertain(error, 1) from error
            elif without_user(error):
                raise
            else:
                sends += 1
                lost = error
                api.report(f"OAC may or may not have accepted the request to {_named(kind)}. {error}")
                found = await _search_after(api, kind, error)
            if found is not None:
                return found
            searched = api.now()
    if lost is None:
        raise refusal
    raise kind.uncertain(lost, sends) from lost


@flow
async def unless_gone(api: Api, call: Call[Any]) -> bool:
    """Make a call such as a deletion, and return whether its object existed.

    A 404 counts as success, because the response to a first attempt may have been lost.
    """
    try:
        await api.perform(call)
    except OACApiError as error:
        if error.status != 404:
            raise
        return False
    return True


def may_have_acted(error: OACError) -> bool:
    """Whether OAC may have acted on a request that changes something, despite this error.

    Whether a second attempt is worthwhile (``retryable``) is a separate question. A status below 500, except 408, is a
    refusal.
    """
    if isinstance(error, OACTransportError):
        return error.sent
    if isinstance(error, OACApiError):
        return error.status >= 500 or error.status == 408
    # Everything else comes from a response that could not be read, or from before the request left.
    return not isinstance(error, OACAuthError | OACConfigurationError | OACTokenStoreError | _StaleError)


def without_user(error: OACError) -> bool:
    """Whether this is OAC's lasting 500 to a token without a user; the same try does not send again."""
    return isinstance(error, OACApiError) and error.status == 500 and not error.retryable


async def search(api: Api, attempt: Callable[[], Awaitable[R | None]], patience: float) -> R | None:
    """Repeat an attempt until it has a result or ``patience`` seconds have passed; at least once.

    It counts its own pauses, because a change of the wall clock must not end the search early.
    """
    while True:
        found = await attempt()
        if found is not None or patience <= 0:
            return found
        pause = min(patience, _POLL_INTERVAL)
        await api.sleep(pause)
        patience -= pause


async def _search_after(api: Api, kind: Submission[A, R], lost: OACError) -> R | None:
    """Search for traces of a request that OAC may have accepted."""
    try:
        found = await search(api, lambda: kind.trace(api, lost), kind.confirmation_timeout)
    except (OACKilledError, OACUncertainError):
        raise
    except OACError as error:
        raise OACUncertainError(
            f"OAC may have accepted the request to {kind.doing}, but {kind.where} could not be read. Next step: run "
            f"the task again; it searches {kind.where} first. First failure: {lost} Second failure: {error}"
        ) from error
    if found is None:
        api.report(
            f"{kind.where[0].upper()}{kind.where[1:]} shows no result after {kind.confirmation_timeout:.0f} s, so the "
            f"request counts as not accepted. If a result appears later, it is a duplicate: {_named(kind)}."
        )
    return found


def _named(kind: Submission[A, R]) -> str:
    """Describe the request, with the name that its result has in OAC."""
    return f"{kind.doing}, named {kind.clue}" if isinstance(kind.clue, str) else kind.doing
