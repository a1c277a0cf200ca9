"""Waiting for an item of the catalog: one poll asks once, and the poll target judges what comes."""

from __future__ import annotations

import json

import pytest

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.errors import passing
from airflow_provider_oac.client.flows.catalog_watch import CatalogTarget, WantedItem
from airflow_provider_oac.client.flows.polling import WaitPlan
from airflow_provider_oac.exceptions import OACApiError
from airflow_provider_oac.transport.io import Request
from tests.manual import Answer, response
from tests.unit.client.worlds import answering, asked, run

BOARD = WantedItem("workbooks", ids.catalog_id("/shared/Board"), "2026-01-01T00:00:00+00:00")
NOT_READY = '{"code": "SearchIndexNotReady", "message": "later"}'


def test_a_poll_that_fails_is_not_made_again_within_the_poll() -> None:
    io = answering(response(503, headers={"retry-after": "60"}))
    with pytest.raises(OACApiError) as caught:
        run(io, CatalogTarget(BOARD, WaitPlan()).poll)
    assert (len(asked(io)), io.slept, caught.value.retry_after) == (1, [], 60.0)


def test_nor_does_it_wait_for_the_search_index() -> None:
    def oac(_now: float, request: Request) -> Answer:
        if "search=" in request.url:
            return response(503, NOT_READY, {"retry-after": "60"})
        # Without the time of its modification, as one sample has it.
        return response(200, json.dumps({"id": BOARD.item_id, "name": "Board", "type": "workbooks"}))

    io, target = answering(oac), CatalogTarget(BOARD, WaitPlan())
    with pytest.raises(OACApiError) as caught:
        run(io, target.poll)
    assert (len(asked(io)), io.slept) == (2, [])
    assert passing(caught.value)
    # As long as OAC asks, though polls come more often otherwise.
    assert target.on_error(caught.value, io.time) == 60.0


def test_the_error_at_the_deadline_is_made_of_whole_sentences() -> None:
    target = CatalogTarget(BOARD, WaitPlan())
    assert "Last poll: nothing. Check its type" in str(target.timed_out(0.0))
    target.on_error(OACApiError("It is paused.", status=503, method="GET", path="/", retryable=True), 0.0)
    assert "Last poll: It is paused. Check its type" in str(target.timed_out(0.0))
