"""Send a request with retries, and decide whether and when to retry."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from airflow_provider_oac.exceptions import OACTransportError
from airflow_provider_oac.transport.io import IO, Request, Response, http_date

log = logging.getLogger(__name__)

# 500 is here because identity domains and gateways answer it for passing failures. If OAC answers 500 for a lasting
# cause (a token without a user), the caller recognizes its text and does not retry.
PASSING = frozenset({408, 429, 500, 502, 503, 504})
# With these, the server says that it did not act, so any method may be sent again.
NOT_ACTED = frozenset({429})


@dataclass(frozen=True)
class RetryPolicy:
    """How often and for how long to retry.

    :param attempts: requests in all, the first included.
    :param base: seconds before the second request; doubled for each further one.
    :param cap: most seconds between two requests.
    :param longest_retry_after: give up if ``Retry-After`` asks for more seconds than this.
    :param patience: seconds after which nothing is sent again. Otherwise a server that delays each response as long as
        it may would hold the caller several times as long.
    """

    attempts: int = 5
    base: float = 0.5
    cap: float = 20.0
    longest_retry_after: float = 120.0
    patience: float = 900.0

    def delay(self, attempt: int, retry_after: float | None, random: float, elapsed: float = 0.0) -> float | None:
        """Seconds to wait after the ``attempt``-th request failed, or ``None`` to give up.

        :param retry_after: seconds that the response asks for, if it does.
        :param random: a number in [0, 1) for jitter.
        :param elapsed: seconds since the first request.
        """
        if attempt >= self.attempts or (retry_after or 0.0) > self.longest_retry_after:
            return None
        if retry_after is not None:
            # A little later than requested, so many clients do not return at the same instant.
            pause = retry_after + random * 0.5
        else:
            pause = min(self.cap, self.base * 2.0 ** (attempt - 1)) * (0.5 + random / 2)
        return pause if elapsed + pause < self.patience else None


ONCE = RetryPolicy(attempts=1)


def retry_after(response: Response, now: float) -> float | None:
    """Seconds that ``Retry-After`` asks for (as a number or an HTTP date), or ``None``.

    :param response: the response. A date is compared with the response's ``Date``, because clocks differ.
    :param now: this machine's clock, for a response without ``Date``.
    """
    value = response.headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        date, server = http_date(value), response.date()
        if date is None:
            return None
        seconds = date - (now if server is None else server)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def may_repeat(outcome: Response | OACTransportError, repeatable: bool) -> bool:
    """Whether to send a request with this outcome again: it may help, and cannot do something twice.

    :param outcome: the response, or the error instead of one.
    :param repeatable: whether the request may be executed twice (it is idempotent).
    """
    if isinstance(outcome, OACTransportError):
        return outcome.passing and (repeatable or not outcome.sent)
    if outcome.status in NOT_ACTED:
        return True
    return repeatable and outcome.status in PASSING


async def send(
    io: IO,
    make: Callable[[], Awaitable[Request]],
    *,
    repeatable: bool,
    policy: RetryPolicy = RetryPolicy(),
    lasting: Callable[[Response], bool] = lambda _response: False,
    refused: Callable[[Response], bool] = lambda _response: False,
) -> Response:
    """Send a request, and retry it if that is safe and may help. Flow.

    :param make: builds the request for each attempt: a token or an assertion may expire during a pause.
    :param repeatable: whether the request may be executed twice (it is idempotent).
    :param lasting: whether a response with a passing status has a lasting cause.
    :param refused: whether a response refuses the credentials of its request. The server did not act on the request,
        so it is sent once more with new ones.
    :raises OACTransportError: if no response came, after the last attempt.
    """
    attempt, reached, replayed, began = 0, False, False, io.now()
    while True:
        attempt += 1
        request = await make()
        outcome: Response | OACTransportError
        try:
            outcome = await io.send(request)
        except OACTransportError as error:
            outcome = error
        if not replayed and isinstance(outcome, Response) and refused(outcome):
            replayed = True
            continue
        delay = None
        if may_repeat(outcome, repeatable) and not (isinstance(outcome, Response) and lasting(outcome)):
            requested = retry_after(outcome, io.now()) if isinstance(outcome, Response) else None
            delay = policy.delay(attempt, requested, io.random(), io.now() - began)
        if delay is None:
            if isinstance(outcome, OACTransportError):
                # This request or an earlier one may have reached the server.
                outcome.sent = outcome.sent or reached
                raise outcome
            return outcome
        reached = reached or isinstance(outcome, Response) or outcome.sent
        if isinstance(outcome, Response):
            log.warning(
                "HTTP %d from %s %s; trying again in %.1f s.",
                outcome.status, request.method, request.url.partition("?")[0], delay,
            )  # fmt: skip
        else:
            log.warning("%s Trying again in %.1f s.", outcome, delay)
        await io.sleep(delay)
