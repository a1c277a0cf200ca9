"""Every call of the wrapped areas over real HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.flows.polling import wait
from airflow_provider_oac.client.rest import snapshots, system, work_requests
from airflow_provider_oac.client.rest.work_requests import WorkRequest
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACResponseError,
    OACWorkRequestError,
)
from oac_simulator.launch import Simulator
from tests.drivers import Drive, SignIn
from tests.integration import flows
from tests.integration.flows import DELETE, LIST, LOOK, ONE, PASSWORD, POST, QUICK, RESTORE, STORAGE, SYSTEM, Oac, take


@pytest.fixture
def run(drive: Drive, sign_in: SignIn, clean: Simulator) -> Oac:
    clean.control.settings(work_seconds=0.05)
    return flows.oac(drive, sign_in)


def test_the_details_of_the_instance(run: Oac) -> None:
    details = run(system.get())
    assert (details.service_instance_key, details.owners[0]) == ("dev", "oac.admin@example.com")
    assert details.raw["description"] == details.description


def test_a_snapshot_from_its_order_to_its_end(run: Oac, clean: Simulator) -> None:
    assert run(snapshots.list_all()) == []
    work_id = run(snapshots.create("one", "file:///a/one.bar", STORAGE, PASSWORD))
    assert ":" in work_id
    done = run(wait(work_id, QUICK))
    assert isinstance(done, WorkRequest)
    assert (done.id, done.status, done.operation, done.percent) == (work_id, "SUCCEEDED", "CREATE_SNAPSHOT", 100.0)
    (listed,) = run(snapshots.list_all())
    assert (listed.id, listed.name) == (done.resource_id("SNAPSHOT"), "one")
    assert (listed.bar_uri, listed.bucket) == ("file:///a/one.bar", "oac-backups")
    assert run(snapshots.get(listed.id)) == listed
    assert list(clean.control.bucket()) == ["oac-backups/a/one.bar"]
    run(snapshots.delete(listed.id))
    assert list(clean.control.bucket()) == ["oac-backups/a/one.bar"]
    take(run, "again", listed.bar_uri, registered=True)
    (again,) = run(snapshots.list_all())
    assert (again.name, again.bar_uri) == ("again", listed.bar_uri)
    run(snapshots.delete(again.id, delete_storage=True))
    assert (run(snapshots.list_all()), clean.control.bucket()) == ([], {})


def test_a_restore_brings_the_content_back(run: Oac, clean: Simulator) -> None:
    snapshot = take(run, "one")
    before = clean.control.content("dev")
    assert clean.control.damage("dev")
    assert clean.control.content("dev") != before
    done = run(wait(run(system.restore_snapshot(snapshot, PASSWORD)), QUICK))
    assert done.operation == "RESTORE_SNAPSHOT"
    assert clean.control.content("dev") == before


def test_a_restore_with_another_password_fails_and_shows_neither(run: Oac, clean: Simulator) -> None:
    snapshot = take(run, "one")
    other = "Another-Horse-8-Battery"
    with pytest.raises(OACWorkRequestError, match="InvalidPassword") as caught:
        run(wait(run(system.restore_snapshot(snapshot, other)), QUICK))
    assert other not in str(caught.value)
    clean.control.settings(wrong_password="400")
    with pytest.raises(OACApiError, match="HTTP 400") as refused:
        run(system.restore_snapshot(snapshot, other))
    assert other not in str(refused.value)


@pytest.mark.parametrize("where", ["body", "header", "both"])
def test_the_work_request_is_named_in_body_or_header(run: Oac, clean: Simulator, where: str) -> None:
    clean.control.settings(work_request_id_in=where)
    work_id = run(snapshots.create("one", "file:///a/one.bar", STORAGE, PASSWORD))
    assert [work["id"] for work in clean.control.work_requests("dev")] == [work_id]
    assert run(work_requests.get(work_id)).id == work_id


def test_the_work_request_is_named_by_a_resource_uri(run: Oac, clean: Simulator) -> None:
    work_id = run(snapshots.create("one", "file:///a/one.bar", STORAGE, PASSWORD))
    uri = f"https://oac.example.com/api/20210901/exports/{work_id.replace(':', '%3A')}"
    clean.control.fault(POST, "status", status=202, body={"resourceUri": uri})
    assert run(snapshots.create("two", "file:///a/two.bar", STORAGE, PASSWORD)) == work_id


def test_an_id_with_strange_characters_travels_as_it_is(run: Oac, clean: Simulator) -> None:
    for strange in ("a:b", "a/b", "a b", "a%2Fb", "a?b#c", "ä"):
        with pytest.raises(OACApiError) as caught:
            run(work_requests.get(strange))
        assert caught.value.status == 404
        # It is this operation that was asked, not another one and not an unknown path.
        assert caught.value.detail == "The work request was not found."


CALLS: dict[str, tuple[str, Callable[[], Call[Any]]]] = {
    "list": (LIST, snapshots.list_all),
    "create": (POST, lambda: snapshots.create("one", "file:///a/one.bar", STORAGE, PASSWORD)),
    "register": (POST, lambda: snapshots.register("one", "file:///a/one.bar", STORAGE)),
    "get": (ONE, lambda: snapshots.get("s1")),
    "delete": (DELETE, lambda: snapshots.delete("s1")),
    "system": (SYSTEM, system.get),
    "restore": (RESTORE, lambda: system.restore_snapshot("s1", PASSWORD)),
    "work request": (LOOK, lambda: work_requests.get("w:1")),
}
each = pytest.mark.parametrize(("endpoint", "make"), CALLS.values(), ids=CALLS)


@each
def test_an_error_of_oac_names_the_call(
    run: Oac, clean: Simulator, endpoint: str, make: Callable[[], Call[Any]]
) -> None:
    call = make()
    clean.control.fault(endpoint, "status", status=409, body={"code": "Conflict", "message": f"No: {PASSWORD}"})
    with pytest.raises(OACApiError) as caught:
        run(call)
    error = caught.value
    assert (error.status, error.code, error.method, error.path) == (409, "Conflict", call.method, call.path)
    assert str(error).startswith(f"Could not {call.doing} ({call.method} {call.path}): OAC answered HTTP 409, Conflict")
    assert (PASSWORD in str(error)) == (not call.secrets)


@each
def test_a_page_in_place_of_an_answer_is_told_as_such(
    run: Oac, clean: Simulator, endpoint: str, make: Callable[[], Call[Any]]
) -> None:
    clean.control.fault(endpoint, "non_json", status=200, times=None)
    call = make()
    if call.read is snapshots.nothing:
        # The status says it all.
        assert run(call) is None
        return
    with pytest.raises(OACResponseError) as caught:
        run(call)
    for part in (f"Could not {call.doing}", call.path, "answers in place of OAC", "sign-in page"):
        assert part in str(caught.value)


def test_a_token_that_has_ended_is_renewed_once_and_the_call_replayed_once(run: Oac, clean: Simulator) -> None:
    run(system.get())
    clean.control.end_tokens()
    take(run, "one")
    assert len(clean.control.snapshots("dev")) == 1
    assert clean.control.grants("jwt-bearer") == 2


def test_passwords_at_the_edge_of_the_rule_are_taken_by_oac(run: Oac, clean: Simulator) -> None:
    for name, password in (("least", "aA1!567890abcd"), ("most", "aA1~" + "x" * 46), ("blank", "Four Words, 1 Comma")):
        run(wait(run(snapshots.create(name, f"file:///{name}.bar", STORAGE, password)), QUICK))
    assert len(clean.control.bucket()) == 3
