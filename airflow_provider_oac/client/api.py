"""The object that calls and flows run on: one OAC instance and its signed-in user."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import replace
from typing import Any, Concatenate, ParamSpec, TypeVar

from airflow_provider_oac.auth.session import Session
from airflow_provider_oac.auth.token import Token
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.errors import api_error, refuses_token, without_user
from airflow_provider_oac.exceptions import OACResponseError
from airflow_provider_oac.transport.io import IO, Request, Response, StreamedResponse
from airflow_provider_oac.transport.retry import RetryPolicy, send

P = ParamSpec("P")
T = TypeVar("T")


class Api:
    """Runs calls and flows on one OAC instance as the signed-in user.

    :param io: the driver.
    :param address: address of the instance, without a path.
    :param session: obtains and renews the user's tokens.
    :param policy: the retry policy for calls.
    :param report: called with each log line.
    :param on_read: called with the plain id of each catalog item whose content was read.
    """

    def __init__(
        self,
        io: IO,
        address: str,
        session: Session,
        policy: RetryPolicy = RetryPolicy(),
        report: Callable[[str], None] = lambda _line: None,
        on_read: Callable[[str], None] = lambda _item: None,
    ) -> None:
        self.io = io
        self.address = address
        self.session = session
        self.policy = policy
        self.report = report
        self.on_read = on_read
        self.sleep, self.now, self.random = io.sleep, io.now, io.random
        self.shield = io.shield

    def with_policy(self, policy: RetryPolicy) -> Api:
        """Return the same instance with another retry policy."""
        return Api(self.io, self.address, self.session, policy, self.report, self.on_read)

    async def run(self, work: Work[T]) -> T:
        """Make a call or run a flow."""
        if isinstance(work, Call):
            return await self.perform(work)
        return await work(self)

    async def perform(
        self, call: Call[T], policy: RetryPolicy | None = None, before_send: Callable[[], None] = lambda: None
    ) -> T:
        """Make a call.

        Each attempt carries a valid token. A 401 that refuses the token leads to one renewal and one replay.

        :param policy: the retry policy for this call, if it differs.
        :param before_send: called directly before each attempt, after its token was obtained. It may raise to stop the
            call.
        :raises OACApiError: if OAC answers with an error.
        :raises OACTransportError: if no response came.
        :raises OACAuthError: if no token can be obtained.
        :raises OACResponseError: if the response does not fit the contract.
        """
        used: Token | None = None

        async def make() -> Request:
            nonlocal used
            used = await self.session.token(self.io)
            request = call.request(self.address, used)
            before_send()
            return request

        def refused(response: Response) -> bool:
            if used is None or not refuses_token(response):
                return False
            self.session.discard(used)
            return True

        response = await send(
            self.io, make,
            repeatable=call.repeatable, policy=policy or self.policy, lasting=without_user, refused=refused,
        )  # fmt: skip
        if not 200 <= response.status < 300 and not call.reads(response):
            raise api_error(call, response, self.now(), _text_of(used))
        try:
            result = call.read(response)
        except OACResponseError as problem:
            raise OACResponseError(
                f"Could not {call.what}: the response does not fit the REST API. {problem} Likely cause: a proxy or a "
                "sign-in page answers in place of OAC. Next step: check the Connection's host."
            ) from None
        await self._was_read(call)
        return result

    async def _was_read(self, call: Call[Any]) -> None:
        """Report what a call has read. In Airflow this may load its plugins, which takes half a second."""
        if item := call.item:
            await self.to_thread(self.on_read, item)

    async def stream(self, call: Call[Any], use: Callable[[StreamedResponse], Awaitable[T]]) -> T:
        """Make a call once, and read its large, uncompressed response piece by piece.

        A 401 that refuses the token leads to one renewal and one replay. There is no other retry, because ``use`` may
        already have received a part of the body.

        :param call: the call. Its ``read`` is not used.
        :param use: reads a successful response; its return value is the result.
        :raises OACApiError: if OAC answers with an error.
        :raises OACTransportError: if no response came, or it ended before it was complete.
        :raises OACAuthError: if no token can be obtained.
        """
        replayed = False
        while True:
            token = await self.session.token(self.io)
            request = call.request(self.address, token)
            # The announced length of a compressed body would not match the size of the file.
            headers = {**request.headers, "Accept-Encoding": "identity"}
            async with self.io.open(replace(request, headers=headers)) as stream:
                if 200 <= stream.status < 300:
                    result = await use(stream)
                    await self._was_read(call)
                    return result
                response = await stream.read()
            if replayed or not refuses_token(response):
                raise api_error(call, response, self.now(), _text_of(token))
            self.session.discard(token)
            replayed = True

    async def gather(self, works: Iterable[Work[T]], limit: int) -> list[T]:
        """Run calls and flows concurrently, at most ``limit`` at once, and return their results in order."""
        works = list(works)
        if len(works) == 1:
            return [await self.run(works[0])]
        return await self.io.gather([self.run(work) for work in works], limit)

    async def to_thread(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking or CPU-bound function without blocking the event loop."""
        return await self.io.to_thread(functools.partial(function, *args, **kwargs))


def _text_of(token: Token | None) -> tuple[str, ...]:
    """Return the access token for redaction, unless it is so short that it could match an ordinary word."""
    return (token.access_token,) if token is not None and len(token.access_token) > 15 else ()


#: Several calls as one unit: a coroutine function of the :class:`Api` whose other arguments are bound.
Flow = Callable[[Api], Coroutine[Any, Any, T]]
Work = Call[T] | Callable[[Api], Awaitable[T]]


def flow(function: Callable[Concatenate[Api, P], Coroutine[Any, Any, T]]) -> Callable[P, Flow[T]]:
    """Turn ``async def f(api, …)`` into a flow: ``api.run``, ``hook.run`` or ``hook.arun`` then runs ``f(…)``."""

    @functools.wraps(function)
    def bind(*args: P.args, **kwargs: P.kwargs) -> Flow[T]:
        return lambda api: function(api, *args, **kwargs)

    return bind
