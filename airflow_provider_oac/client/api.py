"""One OAC instance, signed in: what calls and flows run on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from airflow_provider_oac.auth.session import Session
from airflow_provider_oac.auth.token import Token
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.errors import api_error, refuses_token, without_user
from airflow_provider_oac.exceptions import OACResponseError
from airflow_provider_oac.transport.io import IO, Request, Response, StreamedResponse
from airflow_provider_oac.transport.retry import RetryPolicy, send

T = TypeVar("T")


class Api:
    """An instance of OAC.

    :param io: the driver.
    :param address: address of the instance, without a path.
    :param session: who is signed in.
    :param policy: how often and how patiently calls are tried.
    """

    def __init__(self, io: IO, address: str, session: Session, policy: RetryPolicy = RetryPolicy()) -> None:
        self.io = io
        self.address = address
        self.session = session
        self.policy = policy

    def with_policy(self, policy: RetryPolicy) -> Api:
        """The same instance, asked more or less patiently."""
        return Api(self.io, self.address, self.session, policy)

    async def perform(self, call: Call[T], policy: RetryPolicy | None = None) -> T:
        """Make a call. Flow.

        A token that works is attached to each attempt; a 401 that refuses the token leads to one renewal and one
        replay.

        :param policy: how patiently, if not as all calls.
        :raises OACApiError: if OAC answers with an error.
        :raises OACTransportError: if no answer came.
        :raises OACAuthError: if no token could be had.
        :raises OACResponseError: if the answer is not what the contract says.
        """

        used: Token | None = None

        async def exchange(token: Callable[[], Awaitable[Token]]) -> Response:
            async def make() -> Request:
                nonlocal used
                used = await token()
                return call.request(self.address, used)

            patience = policy or self.policy
            return await send(self.io, make, repeatable=call.repeatable, policy=patience, refused=without_user)

        response = await self.session.authorised(self.io, exchange, refuses_token)
        if not 200 <= response.status < 300:
            raise api_error(call, response, self.io.now(), _text_of(used))
        try:
            return call.read(response)
        except OACResponseError as problem:
            raise OACResponseError(
                f"Could not {call.what}: the answer is not the one that the REST API "
                f"documents. {problem} Check that the Connection's host is an OAC instance and no proxy or sign-in "
                "page answers in its place."
            ) from None

    async def stream(
        self, call: Call[Any], use: Callable[[StreamedResponse], Awaitable[T]], headers: Mapping[str, str] = {}
    ) -> T:
        """Make a call whose answer may be large, once, and read its body piece by piece. Flow.

        A token that works is attached; a 401 that refuses the token leads to one renewal and one replay. Nothing else
        is tried again: what was read so far is the reader's.

        :param call: the call. Its ``read`` is not used.
        :param use: reads an answer of success; what it returns is the result.
        :param headers: further headers of the request.
        :raises OACApiError: if OAC answers with an error.
        :raises OACTransportError: if no answer came, or it ended before it was complete.
        :raises OACAuthError: if no token could be had.
        """

        used: Token | None = None

        async def exchange(token: Callable[[], Awaitable[Token]]) -> Response | _Used[T]:
            nonlocal used
            used = await token()
            request = call.request(self.address, used)
            async with self.io.open(replace(request, headers={**request.headers, **headers})) as answer:
                if not 200 <= answer.status < 300:
                    return await answer.read()
                return _Used(await use(answer))

        outcome = await self.session.authorised(self.io, exchange, _refuses_token)
        if isinstance(outcome, Response):
            raise api_error(call, outcome, self.io.now(), _text_of(used))
        return outcome.result

    async def run(self, work: Work[T]) -> T:
        """Make a call or run a flow. Flow."""
        if isinstance(work, Call):
            return await self.perform(work)
        return await work(self)


def _text_of(token: Token | None) -> tuple[str, ...]:
    """What of a token must not come back in a message. One as short as a word would be found in any text."""
    return (token.access_token,) if token is not None and len(token.access_token) > 15 else ()


@dataclass(frozen=True)
class _Used(Generic[T]):
    """A streamed answer that was read."""

    result: T


def _refuses_token(outcome: Response | _Used[Any]) -> bool:
    return isinstance(outcome, Response) and refuses_token(outcome)


Flow = Callable[[Api], Awaitable[T]]
Work = Call[T] | Flow[T]
