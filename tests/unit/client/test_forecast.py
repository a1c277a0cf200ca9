"""Adaptive waiting against fixed intervals, computed: how late an end is noticed, and with how many looks."""

from __future__ import annotations

import pytest

from airflow_provider_oac.client.forecast import Forecast
from airflow_provider_oac.client.waiting import WaitPlan
from tests.unit.client.waiting_simulation import ADAPTIVE, FIXED, UNINFORMED, Outcome, compared


@pytest.mark.parametrize("spread", [0.03, 0.05])
def test_regular_jobs_are_noticed_sooner_than_every_5_s_with_fewer_looks_than_every_30_s(spread: float) -> None:
    outcomes = compared(spread)
    ours, often, seldom = outcomes[ADAPTIVE], outcomes[FIXED[5]], outcomes[FIXED[30]]
    assert ours.delay < often.delay
    assert ours.looks < seldom.looks


@pytest.mark.parametrize("spread", [0.1, 0.2])
def test_irregular_jobs_are_mostly_noticed_sooner_with_a_third_of_the_looks(spread: float) -> None:
    outcomes = compared(spread)
    ours, often = outcomes[ADAPTIVE], outcomes[FIXED[5]]
    assert ours.median < often.median
    assert ours.looks < often.looks / 3


def test_without_earlier_runs_half_are_noticed_sooner_than_every_5_s() -> None:
    outcomes = compared(0.05)
    ours = outcomes[UNINFORMED]
    assert ours.median < outcomes[FIXED[5]].median
    assert ours.looks < outcomes[FIXED[5]].looks / 2


def test_the_comparison_itself_knows_what_a_fixed_interval_does() -> None:
    outcome = compared(0.05)[FIXED[60]]
    assert isinstance(outcome, Outcome)
    assert 25 < outcome.delay < 60


@pytest.mark.parametrize("earlier", [(600.0,), (600.0, 590.0, 610.0), (600.0, 1.0, 600.0, 600.0, 600.0)])
def test_looks_come_often_when_it_should_be_done_and_rarely_before(earlier: tuple[float, ...]) -> None:
    plan = WaitPlan(earlier=earlier)
    assert plan.pause(600.0) < 10.0
    assert plan.pause(120.0) > 2 * plan.pause(600.0)
    assert plan.pause(5000.0) > plan.pause(600.0)
    assert Forecast(earlier).seconds == pytest.approx(600.0)


@pytest.mark.parametrize("age", [0.0, 1.0, 100.0, 1e4, 1e6, 1e8])
@pytest.mark.parametrize("earlier", [(), (0.0,), (1.0, 1.0, 1.0), (7200.0,), (0.5, 90000.0)])
def test_a_pause_is_never_nothing_and_never_beyond_bounds(earlier: tuple[float, ...], age: float) -> None:
    plan = WaitPlan(earlier=earlier, longest_pause=30.0)
    assert 1.0 <= plan.pause(age) <= (300.0 if earlier else 30.0)
