"""Reading OAC's answers: what is required, what is kept although nobody knows it, and where ids are found."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_oac.client.calls import Call, segment
from airflow_provider_oac.client.ids import encoded
from airflow_provider_oac.client.rest import catalog, connections, snapshots, system, work_requests
from airflow_provider_oac.client.rest.work_requests import accepted_id
from airflow_provider_oac.exceptions import OACConfigurationError, OACResponseError
from airflow_provider_oac.transport.io import Response
from tests.manual import response
from tests.unit.client.worlds import answering, run

ID = "lfc-cc:13347-c9:3962654"


def accepted(body: Any = b"", **headers: str) -> Response:
    data = body if isinstance(body, bytes) else json.dumps(body)
    return response(202, data, {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    "answer",
    [
        accepted({"workRequestId": ID}),
        accepted({"workRequestId": ID, "resourceUri": "/x/other"}, oa_work_request_id="other"),
        accepted(oa_work_request_id=ID),
        accepted(oa_work_request_id=f" {ID} "),
        accepted(b"<html>", oa_work_request_id=ID),
        accepted(b'{"workReq', oa_work_request_id=ID),
        accepted([ID], oa_work_request_id=ID),
        accepted({"workRequestId": ""}, oa_work_request_id=ID),
        accepted({"workRequestId": None, "resourceUri": f"/api/20210901/workRequests/{ID}"}),
        accepted({"resourceUri": f"https://host/api/20210901/catalog/workbooks/x/exports/{ID}/"}),
        accepted({"resourceUri": f"https://host/exports/{ID}?x=/y"}),
        accepted({"resourceUri": "https://host/exports/lfc-cc%3A13347-c9%3A3962654"}),
    ],
)
def test_the_id_of_a_work_request_is_found_wherever_oac_puts_it(answer: Response) -> None:
    assert accepted_id(answer) == ID


@pytest.mark.parametrize(
    "answer",
    [
        accepted(), accepted(b"null"), accepted(b"<html>"), accepted({}), accepted([]), accepted("text"),
        accepted({"workRequestId": 7}), accepted({"resourceUri": "/"}), accepted({"resourceUri": 7}),
        accepted({"id": ID}), accepted(oa_work_request_id="  "),
    ],
)  # fmt: skip
def test_an_answer_without_an_id_is_an_error_that_says_where_it_was_looked_for(answer: Response) -> None:
    with pytest.raises(OACResponseError, match=r"HTTP 202 .* workRequestId.*resourceUri.*oa-work-request-id"):
        accepted_id(answer)


def test_an_id_is_one_segment_of_the_path() -> None:
    assert work_requests.get(ID).path == "/workRequests/lfc-cc%3A13347-c9%3A3962654"
    assert snapshots.get("a/../b?c#d e").path == "/snapshots/a%2F..%2Fb%3Fc%23d%20e"


@pytest.mark.parametrize("value", [{"work_request_id": "x"}, 5, None])
def test_what_is_no_text_is_no_id(value: Any) -> None:
    with pytest.raises(OACConfigurationError, match=r"type (dict|int|NoneType)\. .*\['work_request_id'\]"):
        work_requests.get(value)


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


@pytest.mark.parametrize("nothing", ["", ".", ".."])
def test_an_id_that_would_address_something_else_is_refused(nothing: str) -> None:
    for make in (snapshots.get, snapshots.delete, work_requests.get):
        with pytest.raises(OACConfigurationError, match="names something, but it is"):
            make(nothing)


WORK = {"id": ID, "operationType": "CREATE_SNAPSHOT", "status": "IN_PROGRESS", "percentComplete": 12.5}


def read(call: Call[Any], body: Any) -> Any:
    return call.read(response(200, body if isinstance(body, bytes) else json.dumps(body)))


def test_a_work_request_keeps_what_is_not_known_of_it() -> None:
    body = {**WORK, "status": "SUSPENDED", "operationType": "NEW_THING", "newMember": {"a": [1]}}
    work = read(work_requests.get(ID), body)
    assert (work.status, work.operation, work.percent) == ("SUSPENDED", "NEW_THING", 12.5)
    assert work.raw == body
    assert "newMember" not in repr(work)


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, ()),
        ({"Errors": [{"code": "E1", "message": "first"}, {"code": "E2"}]}, ("E1: first", "E2")),
        ({"errors": [{"message": "small letters"}]}, ("small letters",)),
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


@pytest.mark.parametrize("resources", [None, "x", [], ["x", {"resourceType": "FILE", "id": "f"}, {"id": "no type"}]])
def test_resources_that_name_no_snapshot(resources: Any) -> None:
    assert read(work_requests.get(ID), {**WORK, "resources": resources}).resource_id("SNAPSHOT") is None


def test_the_snapshot_among_the_resources() -> None:
    resources = [{"resourceType": "SNAPSHOT"}, {"resourceType": "SNAPSHOT", "id": "one"}]
    assert read(work_requests.get(ID), {**WORK, "resources": resources}).resource_id("SNAPSHOT") == "one"


SNAPSHOT = {"id": "s1", "name": "n", "createdByUser": "u", "timeCreated": "t", "bar": {"uri": "file:///n.bar"}}


def test_a_snapshot_keeps_what_is_not_known_of_it() -> None:
    body = {**SNAPSHOT, "storage": {"type": "NEW", "bucket": "b", "bucketOciRegion": "r"}, "state": "NEW"}
    snapshot = read(snapshots.get("s1"), body)
    assert (snapshot.bucket, snapshot.region, snapshot.namespace) == ("b", "r", None)
    assert snapshot.raw == body


@pytest.mark.parametrize("storage", [None, "text", [], {"bucket": ["b"], "bucketOciRegion": 7}])
@pytest.mark.parametrize("bar", [None, "text", {}])
def test_what_a_snapshot_does_not_tell_is_empty(storage: Any, bar: Any) -> None:
    snapshot = read(snapshots.get("s1"), {"id": "s1", "storage": storage, "bar": bar})
    assert (snapshot.name, snapshot.bar_uri) == ("", "")
    assert (snapshot.bucket, snapshot.region, snapshot.namespace) == (None, None, None)


@pytest.mark.parametrize(
    ("call", "body", "says"),
    [
        (snapshots.list_all(), b"<html>", "no valid JSON"),
        (snapshots.list_all(), b"", "no valid JSON"),
        (snapshots.list_all(), [], "should be a JSON object, but it is list"),
        (snapshots.list_all(), {}, "The member .items. of the list of snapshots should be a JSON array"),
        (snapshots.list_all(), {"items": {}}, "The member .items. of the list of snapshots should be a JSON array"),
        (snapshots.list_all(), {"items": ["x"]}, "A snapshot should be a JSON object, but it is str"),
        # An item that cannot be read makes the list unusable: pruning over half a list would delete too much.
        (snapshots.list_all(), {"items": [SNAPSHOT, {"name": "n"}]}, "'id'.*members are: name"),
        (snapshots.get("s1"), {}, "'id'.*members are: none"),
        (snapshots.get("s1"), {"id": 7}, "'id'"),
        (work_requests.get(ID), {**WORK, "status": None}, "'status'.*members are: id, operationType, perc"),
        (work_requests.get(ID), {"status": "ACCEPTED"}, "'id'"),
        (system.get(), [], "should be a JSON object"),
        (
            catalog.list_items("folders").page(1),
            [{"type": "folders"}],
            "type descriptor .* as OAC answers a list without a search",
        ),
    ],
)
def test_an_answer_that_is_none_is_an_error(call: Call[Any], body: Any, says: str) -> None:
    with pytest.raises(OACResponseError, match=says):
        read(call, body)


def test_a_page_in_place_of_an_answer_is_told_as_such() -> None:
    io = answering(lambda _age, _request: response(200, "<html>"))
    with pytest.raises(OACResponseError, match=r"Could not .*a proxy or a sign-in page answers in place of OAC"):
        run(io, system.get())


def test_an_error_holds_nothing_of_an_answer_that_cannot_be_read() -> None:
    with pytest.raises(OACResponseError) as caught:
        response(200, b'{"access_token": "the-secret-tok').json()
    # What json raises holds the whole text.
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_models_are_frozen() -> None:
    models = [
        read(snapshots.get("s1"), SNAPSHOT), read(work_requests.get(ID), WORK), read(system.get(), {}),
        snapshots.Storage("b"), snapshots.get("s1"),
    ]  # fmt: skip
    for model in models:
        name = dataclasses.fields(model)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(model, name, "changed")


PLAIN = "'admin'.'Warehouse'"
CREATE_CONNECTION = connections.create(
    connections.ConnectionOrder("Warehouse", {"connectionType": "mysql", "username": "u", "password": "p"})
)


@pytest.mark.parametrize(
    ("status", "body", "connection_id"),
    [
        (200, json.dumps({"connectionId": encoded(PLAIN)}), encoded(PLAIN)),
        (201, json.dumps({"connectionId": encoded(PLAIN)}), encoded(PLAIN)),
        (201, json.dumps(encoded(PLAIN)), encoded(PLAIN)),
        (201, f"{encoded(PLAIN)}\n", encoded(PLAIN)),
        (200, f"{encoded(PLAIN)}==", f"{encoded(PLAIN)}=="),
        (201, PLAIN, encoded(PLAIN)),
        (201, "", None),
        (200, "", None),
        (201, "Connection created", None),
        (201, "Created", None),
        (201, '{"id": 7}', None),
        (201, "\x00\xff", None),
    ],
)
def test_the_id_of_a_new_connection(status: int, body: str, connection_id: str | None) -> None:
    assert CREATE_CONNECTION.read(response(status, body.encode("latin-1"))) == connection_id


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b"OK", b'{"error": "x"}', b"[]"])
def test_a_200_that_does_not_show_a_new_connection_is_an_error(body: bytes) -> None:
    with pytest.raises(OACResponseError):
        CREATE_CONNECTION.read(response(200, body))
