"""Reading OAC's answers: what is required, what is kept although nobody knows it, and where ids are found."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_oac.client.calls import Call, segment
from airflow_provider_oac.client.ids import encoded
from airflow_provider_oac.client.rest import (
    acl,
    catalog,
    connections,
    datasets,
    mail,
    safe_domains,
    settings,
    snapshots,
    system,
    work_requests,
    workbooks,
)
from airflow_provider_oac.client.rest.work_requests import accepted_id
from airflow_provider_oac.exceptions import OACConfigurationError, OACResponseError
from tests.manual import response
from tests.unit.client.worlds import answering, run

ID = "lfc-cc:13347-c9:3962654"


def read(call: Call[Any], body: Any, status: int = 200) -> Any:
    return call.read(response(status, body if isinstance(body, bytes) else json.dumps(body)))


def accepted(body: Any, header: str | None) -> str:
    data = body if isinstance(body, bytes) else json.dumps(body)
    return accepted_id(response(202, data, {} if header is None else {"oa-work-request-id": header}))


@pytest.mark.parametrize(
    ("body", "header"),
    [
        ({"workRequestId": ID}, None),
        ({"workRequestId": ID, "resourceUri": "/x/other"}, "other"),
        (b"", f" {ID} "),
        (b"<html>", ID),
        (b'{"workReq', ID),
        ([ID], ID),
        ({"workRequestId": ""}, ID),
        ({"workRequestId": None, "resourceUri": f"/api/20210901/workRequests/{ID}"}, None),
        ({"resourceUri": f"https://host/api/20210901/catalog/workbooks/x/exports/{ID}/"}, None),
        ({"resourceUri": f"https://host/exports/{ID}?x=/y"}, None),
        ({"resourceUri": "https://host/exports/lfc-cc%3A13347-c9%3A3962654"}, None),
    ],
)
def test_the_id_of_a_work_request_is_found_wherever_oac_puts_it(body: Any, header: str | None) -> None:
    assert accepted(body, header) == ID


@pytest.mark.parametrize(
    "body",
    [
        b"", None, b"<html>", {}, [], "text", {"workRequestId": 7}, {"resourceUri": "/"}, {"resourceUri": 7}, {"id": ID}
    ],
)  # fmt: skip
@pytest.mark.parametrize("header", [None, "  "])
def test_an_answer_without_an_id_is_an_error_that_names_the_places(body: Any, header: str | None) -> None:
    with pytest.raises(OACResponseError, match=r"HTTP 202 .* workRequestId.*resourceUri.*oa-work-request-id"):
        accepted(body, header)


def test_an_id_is_one_segment_of_the_path() -> None:
    assert work_requests.get(ID).path == "/workRequests/lfc-cc%3A13347-c9%3A3962654"
    assert snapshots.get("a/../b?c#d e").path == "/snapshots/a%2F..%2Fb%3Fc%23d%20e"


@given(st.text(min_size=1, max_size=20))
def test_no_id_leaves_its_segment(text: str) -> None:
    try:
        encoded = segment(text)
    except OACConfigurationError:
        assert text in (".", "..")
    except UnicodeEncodeError:
        assert not text.isprintable()
    else:
        assert not set(encoded) & set("/?#:;@&= \n\\")
        assert encoded not in (".", "..")


OTHER_TYPE = r"type (dict|int|NoneType)\. .*\['work_request_id'\]"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        *((nothing, "names something, but it is") for nothing in ("", ".", "..")),
        *((value, OTHER_TYPE) for value in ({"work_request_id": "x"}, 5, None)),
    ],
)
@pytest.mark.parametrize("make", [snapshots.get, snapshots.delete, work_requests.get])
def test_an_id_that_would_address_something_else_is_refused(make: Any, value: Any, says: str) -> None:
    with pytest.raises(OACConfigurationError, match=says):
        make(value)


WORK = {"id": ID, "operationType": "CREATE_SNAPSHOT", "status": "IN_PROGRESS", "percentComplete": 12.5}


def test_a_work_request_keeps_what_is_not_known_of_it() -> None:
    body = {**WORK, "status": "SUSPENDED", "operationType": "NEW_THING", "newMember": {"a": [1]}}
    work = read(work_requests.get(ID), body)
    assert (work.status, work.operation, work.percent, work.raw) == ("SUSPENDED", "NEW_THING", 12.5, body)
    assert "newMember" not in repr(work)


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, ()),
        ({"Errors": [{"code": "E1", "message": "first"}, {"code": "E2"}]}, ("E1: first", "E2")),
        ({"Errors": [], "errors": [{"message": "small letters"}]}, ("small letters",)),
        ({"Errors": ["a text", {}, None]}, ("a text", "an error without text", "an error without text")),
        ({"Errors": "just a text"}, ("just a text",)),
        ({"Errors": {"message": "an object"}}, ("an object",)),
    ],
)
def test_errors_of_a_work_request_in_every_shape(body: dict[str, Any], errors: tuple[str, ...]) -> None:
    assert read(work_requests.get(ID), {**WORK, **body}).errors == errors


@pytest.mark.parametrize("percent", [None, "50", [], {}])
def test_a_percentage_that_is_none_is_no_failure(percent: Any) -> None:
    assert read(work_requests.get(ID), {**WORK, "percentComplete": percent}).percent is None


@pytest.mark.parametrize(
    ("resources", "snapshot"),
    [
        *((nothing, None) for nothing in (None, "x", [])),
        (["x", {"resourceType": "FILE", "id": "f"}, {"id": "no type"}], None),
        ([{"resourceType": "SNAPSHOT"}, {"resourceType": "SNAPSHOT", "id": "one"}], "one"),
    ],
)
def test_the_snapshot_among_the_resources(resources: Any, snapshot: str | None) -> None:
    assert read(work_requests.get(ID), {**WORK, "resources": resources}).resource_id("SNAPSHOT") == snapshot


SNAPSHOT = {"id": "s1", "name": "n", "createdByUser": "u", "timeCreated": "t", "bar": {"uri": "file:///n.bar"}}


def test_a_snapshot_keeps_what_is_not_known_of_it() -> None:
    body = {**SNAPSHOT, "storage": {"type": "NEW", "bucket": "b", "bucketOciRegion": "r"}, "state": "NEW"}
    snapshot = read(snapshots.get("s1"), body)
    assert (snapshot.bucket, snapshot.region, snapshot.namespace, snapshot.raw) == ("b", "r", None, body)


@pytest.mark.parametrize("storage", [None, "text", [], {"bucket": ["b"], "bucketOciRegion": 7}])
@pytest.mark.parametrize("bar", [None, "text", {}])
def test_what_a_snapshot_does_not_tell_is_empty(storage: Any, bar: Any) -> None:
    found = read(snapshots.get("s1"), {"id": "s1", "storage": storage, "bar": bar})
    assert (found.name, found.bar_uri, found.bucket, found.region, found.namespace) == ("", "", None, None, None)


def test_a_page_in_place_of_an_answer_is_reported_as_such() -> None:
    with pytest.raises(OACResponseError, match=r"Could not .*a proxy or a sign-in page answers in place of OAC"):
        run(answering(response(200, "<html>")), system.get())


def test_an_error_holds_nothing_of_an_answer_that_cannot_be_read() -> None:
    with pytest.raises(OACResponseError) as caught:
        response(200, b'{"access_token": "the-secret-tok').json()
    # What json raises holds the whole text.
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


PLAIN, NEW = "'admin'.'Warehouse'", encoded("'admin'.'Warehouse'")
PARAMS = {"connectionType": "mysql", "username": "u", "password": "p"}
CREATE_CONNECTION = connections.create(connections.ConnectionOrder("Warehouse", PARAMS))


@pytest.mark.parametrize(
    ("status", "body", "connection_id"),
    [
        (200, {"connectionId": NEW}, NEW),
        (201, NEW, NEW),
        (201, f"{NEW}\n".encode(), NEW),
        (200, f"{NEW}==".encode(), f"{NEW}=="),
        (201, PLAIN.encode(), NEW),
        *((201, nothing, None) for nothing in (b"", b"Connection created", b"Created", {"id": 7}, b"\x00\xff")),
        (200, b"", None),
    ],
)
def test_the_id_of_a_new_connection(status: int, body: Any, connection_id: str | None) -> None:
    assert read(CREATE_CONNECTION, body, status) == connection_id


NO_ARRAY = "The member .items. of the list of snapshots should be a JSON array"


OTHER_FORMS: list[tuple[Call[Any], list[Any]]] = [
    (acl.get("folders", "L3g"), [{}, ["x"], [{"accountType": "User"}], [{"accountGuid": "x", "permissions": []}]]),
    (workbooks.canvases("id"), [[], {"visualizeCanvases": {}}, {"visualizeCanvases": [7]}, {"presentCanvases": [{}]}]),
    (datasets.history("id"), [{}, "x", [1], [{}], [{"jobIdentifier": ""}], [{"jobIdentifier": {}}]]),
    (settings.get(), [[], {}, {"items": [1]}, {"items": [{"value": "x"}]}]),
    (safe_domains.list_all(), [{}, [1], "x"]),
    (mail.get(), [[]]),
    # A 200 must show that the connection was created.
    (CREATE_CONNECTION, [b"<html>Sign in</html>", b"OK", {"error": "x"}, []]),
]


@pytest.mark.parametrize(
    ("call", "body", "says"),
    [
        (snapshots.list_all(), b"<html>", "no valid JSON"),
        (snapshots.list_all(), b"", "no valid JSON"),
        (snapshots.list_all(), [], "should be a JSON object, but it is list"),
        (snapshots.list_all(), {}, NO_ARRAY),
        (snapshots.list_all(), {"items": {}}, NO_ARRAY),
        (snapshots.list_all(), {"items": ["x"]}, "A snapshot should be a JSON object, but it is str"),
        # An item that cannot be read makes the list unusable: pruning over half a list would delete too much.
        (snapshots.list_all(), {"items": [SNAPSHOT, {"name": "n"}]}, "'id'.*members are: name"),
        (snapshots.get("s1"), {}, "'id'.*members are: none"),
        (snapshots.get("s1"), {"id": 7}, "'id'"),
        (work_requests.get(ID), {**WORK, "status": None}, "'status'.*members are: id, operationType, perc"),
        (work_requests.get(ID), {"status": "ACCEPTED"}, "'id'"),
        (system.get(), [], "should be a JSON object"),
        (catalog.list_items("folders").page(1), [{"type": "folders"}], "as OAC answers a list without a search"),
        *((datasets.job("x", "J"), jobs, "does not contain job") for jobs in ([], [{"jobIdentifier": "another"}])),
        *((call, body, None) for call, bodies in OTHER_FORMS for body in bodies),
    ],
)
def test_an_answer_that_is_none_is_an_error(call: Call[Any], body: Any, says: str | None) -> None:
    with pytest.raises(OACResponseError, match=says):
        read(call, body)
