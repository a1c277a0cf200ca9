"""Which errors the retry policy retries, and when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

pytest.importorskip("airflow.sdk.definitions.retry_policy", reason="Airflow 3.3 and later")

from airflow.sdk import DAG, RetryAction
from airflow.serialization.serialized_objects import DagSerialization

from airflow_provider_oac import exceptions as e
from airflow_provider_oac.operators.catalog import OACListCatalogOperator
from airflow_provider_oac.retry_policy import OACRetryPolicy

RETRY, FAIL, DEFAULT = RetryAction.RETRY, RetryAction.FAIL, RetryAction.DEFAULT


def api(status: int, **more: Any) -> e.OACApiError:
    return e.OACApiError("x", status=status, method="GET", path="/x", **more)


@pytest.mark.parametrize(
    ("error", "action", "delay"),
    [
        (e.OACWaitTimeoutError("x"), RETRY, timedelta(0)),
        (api(503, retryable=True), RETRY, None),
        (api(429, retryable=True, retry_after=40.0), RETRY, timedelta(seconds=40)),
        (e.OACAuthError("x", retryable=True), RETRY, None),
        (e.OACTransportError("x", sent=True), RETRY, None),
        (e.OACTokenStoreError("x"), RETRY, None),
        (e.OACContentError("x"), RETRY, None),
        (api(403), FAIL, None),
        (e.OACAuthError("x"), FAIL, None),
        (e.OACSetupError("x"), FAIL, None),
        (e.OACTransportError("x", sent=False, passing=False), FAIL, None),
        (e.OACTokenStoreError("x", damaged=True), FAIL, None),
        (e.OACTakenError("x"), FAIL, None),
        (api(409), DEFAULT, None),
        (e.OACWorkRequestError("x", work_request_id="1", status="FAILED"), DEFAULT, None),
        (e.OACUncertainError("x"), DEFAULT, None),
        (ValueError("x"), DEFAULT, None),
    ],
)
def test_what_passes_is_retried_and_what_a_person_must_mend_fails(
    error: Exception, action: RetryAction, delay: timedelta | None
) -> None:
    decision = OACRetryPolicy().evaluate(error, 1, 3)
    assert (decision.action, decision.retry_delay) == (action, delay)


def test_a_dag_with_the_policy_can_be_stored() -> None:
    with DAG("stored") as dag:
        OACListCatalogOperator(task_id="look", retries=2, retry_policy=OACRetryPolicy())
    stored = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert stored.get_task("look").has_retry_policy
