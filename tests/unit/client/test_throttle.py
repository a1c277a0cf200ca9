"""How fast an instance is asked: connections by rate and latency, and a rest for all when it cannot keep up."""

from __future__ import annotations

import pytest

from airflow_provider_oac.client.flows.throttle import FEW, MANY, Throttle
from airflow_provider_oac.exceptions import OACApiError, OACError, OACTransportError


def answer(status: int, retry_after: float | None = None, code: str | None = None) -> OACApiError:
    return OACApiError("no", status=status, code=code, method="GET", path="/", retry_after=retry_after)


# That the word stands in the code is inferred: it may stand in the text.
IN_TEXT = OACApiError("no", status=503, detail="SearchIndexNotReady: later", method="GET", path="/", retry_after=300.0)


NO_ANSWER = OACTransportError("no", sent=True)


def adapted(
    rate: float, latency: float | None, times: int = 60, waiting: bool = True, disturbed: bool = False
) -> Throttle:
    """After so many collections with a response each."""
    throttle = Throttle()
    for _ in range(times):
        throttle.answered(latency)
        throttle.adapt(rate, waiting, disturbed)
    return throttle


@pytest.mark.parametrize(
    ("rate", "latency", "at_once"),
    [(1000.0, 0.002, FEW), (200.0, 0.1, 24), (2000.0, 1.0, MANY), (0.0, 5.0, FEW)],
    ids=["a fast server", "a server that is far away", "more than is sensible", "no triggers"],
)
def test_the_limit_grows_to_rate_times_latency_and_a_surplus(rate: float, latency: float, at_once: int) -> None:
    assert adapted(rate, latency).at_once == at_once


def test_the_limit_grows_step_by_step() -> None:
    assert [adapted(1000.0, 1.0, times).at_once for times in range(4)] == [8, 10, 13, 16]


@pytest.mark.parametrize(
    ("latency", "circumstances"),
    [(0.1, {"waiting": False}), (0.1, {"disturbed": True}), (None, {})],
    ids=["no poll waits", "this process is the slow one", "a handshake is no latency"],
)
def test_it_does_not_grow(latency: float | None, circumstances: dict[str, bool]) -> None:
    assert adapted(200.0, latency, **circumstances).at_once == FEW


def test_it_shrinks_slowly() -> None:
    throttle = adapted(200.0, 0.1)
    throttle.adapt(200.0, waiting=False)
    assert throttle.at_once == 24
    for _ in range(300):
        throttle.adapt(200.0, waiting=False)
    assert throttle.at_once == FEW


def test_a_server_that_cannot_keep_up_gets_no_more_connections() -> None:
    throttle = Throttle()
    for _ in range(200):
        # It handles 50 polls per second, 100 are wanted, and the network takes 0.1 s.
        throttle.answered(max(0.1, throttle.at_once / 50))
        throttle.adapt(100.0, waiting=True)
    assert throttle.at_once <= 40


@pytest.mark.parametrize("status", [429, 503])
def test_a_rest_lasts_as_long_as_oac_asks(status: int) -> None:
    throttle = Throttle()
    throttle.refused(answer(status, 30.0), 10.0, 11.0)
    assert throttle.quiet_until == 41.0
    throttle.refused(answer(status, 1e9), 41.0, 42.0)
    assert throttle.quiet_until == 42.0 + 300.0


def test_without_a_word_when_the_rest_doubles_and_those_under_way_do_not_count() -> None:
    throttle, now = Throttle(), 0.0
    for rest in (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0):
        now += 1.0
        throttle.refused(answer(429), now - 0.5, now)
        throttle.refused(answer(429), now - 0.4, now + 0.1)
        assert throttle.quiet_until == now + rest
        now += rest
    throttle.answered(0.01)
    throttle.refused(answer(429), now + 1.0, now + 1.0)
    assert throttle.quiet_until == now + 2.0


def test_after_a_rest_one_asks_then_one_more_with_each_answer() -> None:
    throttle, allowed = Throttle(), []
    throttle.refused(answer(503), 0.0, 0.0)
    for _ in range(4):
        allowed.append(throttle.at_once)
        throttle.answered(0.01)
    assert allowed == [1, 2, 3, 4]


def test_after_a_rest_an_answer_that_refuses_counts_as_well() -> None:
    throttle, allowed = Throttle(), []
    throttle.refused(answer(503), 0.0, 0.0)
    # A gateway is not the instance; a request from before the rest shows nothing.
    for error, began in ((401, 1.0), (404, 1.0), (500, 1.0), (0, 1.0), (401, 1.0), (504, 1.0), (401, -1.0)):
        throttle.refused(answer(error) if error else NO_ANSWER, began, 2.0)
        allowed.append(throttle.at_once)
    assert allowed == [2, 3, 4, 4, 5, 5, 5]


@pytest.mark.parametrize(
    "error",
    [answer(500), answer(404), answer(503, code="SearchIndexNotReady"), IN_TEXT, NO_ANSWER],
    ids=["500", "404", "the search index", "the same in the text", "no answer"],
)
def test_other_trouble_brings_no_rest(error: OACError) -> None:
    throttle = Throttle()
    throttle.refused(error, 0.0, 1.0)
    assert throttle.quiet_until < 0
    assert throttle.at_once == FEW
