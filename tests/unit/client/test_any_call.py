"""Calls by name or by path: bad arguments are explained, results are made JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_oac.auth.token import Token
from airflow_provider_oac.client.flows import any_call
from airflow_provider_oac.client.flows.any_call import named, of_page, raw
from airflow_provider_oac.client.paging import Page
from airflow_provider_oac.exceptions import OACConfigurationError, OACIncompleteListError, OACResponseError
from tests.manual import response


class Lazy(Sequence[Any]):
    """A sequence like Airflow's results of mapped tasks."""

    def __getitem__(self, index: Any) -> Any:
        return ["a", "b"][index]

    def __len__(self) -> int:
        return 2


API = "https://h/api/20210901"
TOKEN = Token("t", 0, 9)


def url(**parts: Any) -> str:
    return raw(parts.pop("method", "GET"), parts.pop("path", "/x"), **parts).request("https://h", TOKEN).url


def test_a_call_by_its_name() -> None:
    call = named("catalog.get", {"kind": "folders", "item_id": "L3g"})
    assert (call.method, call.path, call.repeatable) == ("GET", "/catalog/folders/L3g", True)
    assert any_call.lists("catalog.list_items")
    assert not any_call.lists("catalog.get")


GET, FOLDER = "catalog.get", {"kind": "folders"}


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("catalog", {}, "name of a call is module and function, such as catalog.get, not 'catalog'"),
        ("os.system", {}, "has no module 'os'. Next step: correct the name, or pass method and path"),
        ("catalog.gett", {}, "There is no call 'catalog.gett'. catalog has: change_owner, copy, create_folder"),
        ("catalog._path", {}, "name of a call is module and function"),
        ("catalog.segment", {"value": "x"}, "There is no call"),
        ("catalog.list_items", {"what": "x"}, "unknown options what; there are search, type_filter"),
        (GET, {"kind": "x", "id": "y"}, r"does not accept these arguments: .*Its signature is catalog.get\(kind: "),
        (GET, {**FOLDER, "item_id": ""}, "names something, but it is"),
        (GET, {**FOLDER, "item_id": None}, "item_id must be a text, but it is of the type NoneType"),
        *(
            ("snapshots.delete", {"snapshot_id": "1", "delete_storage": value}, "must be True or False, but it is")
            for value in ("false", "True", "", "None", 0, None)
        ),
        ("catalog.delete_folder", {"folder_id": "1", "recursive": "false"}, "recursive must be True or False, but it"),
        ("catalog.list_items", {"limit": "7"}, "limit must be a whole number, but it is the text '7'"),
        ("catalog.list_items", {"limit": True}, "limit must be a whole number, but it is of the type bool"),
        ("safe_domains.put", {"domain": "d", "policy": {"frame": "false"}}, r"policy\['frame'\] must be True or False"),
        ("datasets.history", {"object_id": "x", "since": "yesterday"}, "since must be a time such as .* or check what"),
    ],
)
def test_a_name_or_an_argument_that_does_not_fit_is_explained(name: str, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(OACConfigurationError, match=says):
        named(name, arguments)


@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        ({"path": "/system"}, "https://h/api/20210901/system"),
        ({"path": "/api/20210901/system"}, "https://h/api/20210901/system"),
        ({"path": "/xmlpserver/services/rest/v1/reports", "base": ""}, "https://h/xmlpserver/services/rest/v1/reports"),
        ({"path": "/a b/ü/lfc-cc:1%3A2", "base": "/api/x/"}, "https://h/api/x/a%20b/%C3%BC/lfc-cc:1%3A2"),
        ({"query": {"a": ["1", "b&c"], "b": None, "c": Lazy(), "d": ""}}, f"{API}/x?a=1&a=b%26c&c=a&c=b&d="),
    ],
)
def test_a_path_below_the_base(parts: dict[str, Any], wanted: str) -> None:
    assert url(**parts) == wanted


MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
NO_NAMES = ("Host ", "\tHost", "Transfer-Encoding\t", "", "X:", "X\r\nHost", "Hôst", "X Y")
OWN_NAMES = ("AUTHORIZATION", "Expect", "upgrade", "Accept", "content-type", "Accept-Encoding", "Proxy-Authorization")
NO_VALUES = ("a\r\nHost: evil", "a\nb", "a\0b", "\x1b[2J", " a", "a\t", "売", "ü", 5, None, b"x")
NO_JSON: tuple[Any, ...] = ({"at": MOMENT}, {"x": {1}}, {"x": b"y"}, {(1, 2): 3}, [math.nan])


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"method": "FETCH"}, "one of GET, POST, PUT, DELETE, PATCH, not 'FETCH'"),
        *(({"path": path}, "must begin with a slash") for path in ("system", "https://evil.example.com/x")),
        ({"path": "//evil.example.com/x"}, "has an empty part"),
        ({"path": "/catalog//x"}, "has an empty part.*what templates render to"),
        ({"path": "/catalog/../system"}, "a part of dots"),
        ({"path": "/x?y=1"}, "pass query parameters as query"),
        ({"base": "api"}, "base too unless it is empty"),
        ({"body": {}}, "A GET has no body"),
        *(({"headers": {name: "x"}}, "Header .* cannot be sent: its name must") for name in NO_NAMES),
        *(({"headers": {name: "x"}}, f"The provider sets the headers {name} itself") for name in OWN_NAMES),
        *(({"headers": {"X": value}}, "Header 'X' cannot be sent") for value in NO_VALUES),
        ({"accept": "a\r\nHost: evil"}, "Header 'Accept' cannot be sent"),
        ({"content_type": "a\r\nHost: evil"}, "Header 'Content-Type' cannot be sent"),
        ({"method": "POST", "body": "{'a': 1}"}, "write {{ … | tojson }}, or pass a task's .output"),
        ({"method": "POST", "body": "None", "content_type": "application/JSON; charset=utf-8"}, "not JSON"),
        *(
            ({"method": "POST", "body": body}, "The body cannot be sent as JSON: .* Nothing was sent")
            for body in NO_JSON
        ),
        ({"query": {"q": {"a": "b"}}}, "Query parameter 'q' must be .* type dict"),
        ({"query": {"q": [["a"]]}}, "Query parameter 'q' must be .* type list"),
        ({"query": {"q": MOMENT}}, "Query parameter 'q' must be .* type datetime"),
    ],
)
def test_a_path_that_cannot_work_is_explained(parts: dict[str, Any], says: str) -> None:
    with pytest.raises(OACConfigurationError, match=says):
        url(**parts)


@pytest.mark.parametrize(
    "path", ["/@evil.example.com/x", "/:80@evil.example.com", "/x\r\nHost: evil", "/\\evil.example.com"]
)
def test_no_path_leads_to_another_host(path: str) -> None:
    assert url(path=path, base="").startswith("https://h/")
    assert "\n" not in url(path=path, base="")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize(
    ("base", "path", "documented"),
    [
        *(("/api/20210901", path, True) for path in ("/x", "/api/20210901/x")), ("/api/20210901/", "/x", True),
        ("", "/api/20210901/x", True), ("", "/xmlpserver/services/rest/v1/jobs/scheduleJob", False),
        ("/api/20210901x", "/x", False), ("/xmlpserver/api/20210901", "/x", False),
    ],
)  # fmt: skip
def test_only_what_http_says_is_repeated_and_outside_the_rest_api_only_a_get(
    method: str, base: str, path: str, documented: bool
) -> None:
    assert raw(method, path, base=base).repeatable is (method in ("GET", *(("PUT", "DELETE") * documented)))
    assert raw(method, path, base=base, repeatable=True).repeatable


def test_arguments_that_fit_stay_digits_become_text_and_a_moment_may_be_a_text() -> None:
    call = named("snapshots.delete", {"snapshot_id": 7, "delete_storage": False})
    assert (call.path, call.query) == ("/snapshots/7", {"deleteStorage": False})
    assert named("catalog.delete_folder", {"folder_id": "1", "recursive": None}).query == {"recursive": None}
    call = named("datasets.history", {"object_id": "J2Enlic", "since": "2026-01-01T00:00:00"})
    assert call.query["fromStartTime"].startswith("2026-01-01T00:00:00")


@pytest.mark.parametrize(
    ("body", "kind", "sent"),
    [
        ('{"a": 1}', {}, b'{"a": 1}'),
        ("{'a': 1}", {"content_type": "text/plain"}, b"{'a': 1}"),
        ("<a/>", {"content_type": "text/xml"}, b"<a/>"),
        ([1], {}, b"[1]"),
        ({"ids": Lazy()}, {}, b'{"ids": ["a", "b"]}'),
    ],
)
def test_a_text_is_sent_as_it_is_and_the_rest_as_json(body: Any, kind: dict[str, str], sent: bytes) -> None:
    request = raw("POST", "/x", body=body, **kind).request("https://h", TOKEN)
    assert (request.body, request.headers["Content-Type"]) == (sent, kind.get("content_type", "application/json"))


@pytest.mark.parametrize(
    ("body", "kind", "wanted"),
    [
        (b"", "application/json", None),
        (b'{"a": 1}', "application/json; charset=utf-8", {"a": 1}),
        (b'"done"', "application/json", "done"),
        (b"done", "text/plain", "done"),
        (b"<a/>", "application/xml", "<a/>"),
    ],
)
def test_an_answer_is_read_by_its_kind(body: bytes, kind: str, wanted: Any) -> None:
    assert raw("GET", "/x").read(response(200, body, {"content-type": kind})) == wanted


@pytest.mark.parametrize("body", [b"%PDF-1.7 \xff", b"<html>"])
def test_an_answer_that_xcom_cannot_hold_is_an_error(body: bytes) -> None:
    with pytest.raises(
        OACResponseError, match=r"neither JSON nor text\. If they are the expected file, set destination"
    ):
        raw("GET", "/x").read(response(200, body, {"content-type": "application/pdf"}))


@pytest.mark.parametrize("body", [b"[1, 2]", b'{"items": [1, 2]}'])
def test_a_page_of_a_raw_list(body: bytes) -> None:
    call = of_page(raw("GET", "/x", query={"search": "*"}), 3)
    assert call.query == {"search": "*", "page": 3}
    assert call.read(response(200, body, {"oa-page-count": "7"})) == Page((1, 2), count=7)
    with pytest.raises(OACResponseError, match="it is NoneType"):
        call.read(response(200, b'{"a": 1}'))


ONE = {"oa-current-page": "1"}


@pytest.mark.parametrize(
    "headers", [{"oa-page-count": "2"}, {"oa-next-page": "2"}, {**ONE, "oa-page-count": "3", "oa-total-items": "113"}]
)
def test_a_part_of_a_list_is_not_taken_for_the_list(headers: dict[str, str]) -> None:
    answer = response(200, b"[1, 2]", headers)
    with pytest.raises(OACIncompleteListError, match=r"only page 1 of .* set paged=True for all"):
        raw("GET", "/x").read(answer)
    assert raw("GET", "/x", query={"page": 1}).read(answer) == [1, 2]
    assert raw("GET", "/x").read(response(200, b"[1]", {**ONE, "oa-page-count": "1"})) == [1]
