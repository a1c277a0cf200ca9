"""The light form of the contract that the package holds, and what is said of an answer that differs."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_oac.cli.contract import differences, operations, unknown_members

WORK = {"id": "w", "operationType": "CREATE_SNAPSHOT", "status": "ACCEPTED", "percentComplete": 0,
        "timeAccepted": "2026-01-01T00:00:00Z"}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"status": "SUSPENDED"}, ["status: is SUSPENDED, which the contract does not list."]),
        ({"status": "a secret\n"}, ["status: is (not shown), which the contract does not list."]),
        ({"percentComplete": "secret"}, ["percentComplete: is of the type string; the contract says number."]),
        ({"resources": [{"id": 7}, {"id": 8}]}, ["resources[].id: is of the type number; the contract says string."]),
    ],
)
def test_a_difference_is_said_without_values(changes: dict[str, Any], said: list[str]) -> None:
    found = differences(operations()["getWorkRequest"], 200, {**WORK, **changes})
    assert [text for text in found if "resources[]: lacks" not in text] == said


def test_members_that_are_not_named_are_listed_wherever_they_are() -> None:
    body = {**WORK, "opcRetry": 1, "Errors": [{"code": "c", "message": "m", "hint": "x"}], "two words": 1}
    assert unknown_members(operations()["getWorkRequest"], body) == ["Errors[].hint", "opcRetry"]
