"""What calls and flows return: refused by XCom with the way to do it, and JSON by one method."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import typing
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_oac import client
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.models import Model, plain
from airflow_provider_oac.client.paging import Listing, Page
from airflow_provider_oac.client.rest import catalog, snapshots
from airflow_provider_oac.exceptions import OACConfigurationError
from tests.manual import response

try:
    from airflow.sdk.serde import deserialize, serialize
except ImportError:
    from airflow.serialization.serde import deserialize, serialize

ITEM = catalog.get("folders", "L3g").read(response(200, '{"id": "L3g", "name": "x", "parentId": "L3k"}'))


def dataclasses_in(kind: Any) -> Iterator[type]:
    origin = typing.get_origin(kind) or kind
    if isinstance(origin, type) and is_dataclass(origin):
        yield origin
        # A task may return a part of a result, too.
        for inner in typing.get_type_hints(origin).values() if issubclass(origin, Model) else ():
            yield from dataclasses_in(inner)
    for inner in typing.get_args(kind):
        yield from dataclasses_in(inner)


def returned() -> Iterator[type]:
    """The dataclasses in the results of all calls and flows of the client."""
    for module in pkgutil.walk_packages(client.__path__, f"{client.__name__}."):
        found = vars(importlib.import_module(module.name))
        for name, function in found.items():
            public = inspect.isfunction(function) and function.__module__ == module.name and not name.startswith("_")
            if public and str(function.__annotations__.get("return")).startswith(("Call[", "Flow[", "Listing[")):
                yield from dataclasses_in(typing.get_type_hints(function)["return"])


def test_whatever_a_call_or_a_flow_returns_is_refused_by_xcom() -> None:
    kinds = set(returned()) - {Call, Listing}
    assert {catalog.CatalogItem, snapshots.Snapshot, Page} <= kinds
    assert [kind.__name__ for kind in kinds if not issubclass(kind, Model)] == []


@pytest.mark.parametrize("result", [ITEM, [ITEM], {"found": ITEM}, (ITEM,), Page((ITEM,), 1, 2)])
def test_a_model_says_how_to_return_it_and_that_works(result: Any) -> None:
    says = r"cannot return (CatalogItem|Page) of .*\[item\.to_dict\(\) for item"
    with pytest.raises(OACConfigurationError, match=says):
        serialize(result)
    returned = plain(result)
    assert deserialize(json.loads(json.dumps(serialize(returned)))) == returned


@dataclass(frozen=True)
class Other(Model):
    name: str
    raw: dict[str, Any]


def test_results_become_json() -> None:
    moment = datetime(2026, 1, 31, tzinfo=UTC)
    assert plain({1: (Other("x", {"n": {"b", "a"}}), Other("y", {})), "t": moment}) == {
        "1": [{"n": ["a", "b"]}, {"name": "y", "raw": {}}],
        "t": "2026-01-31T00:00:00+00:00",
    }
    assert ITEM.to_dict()["path"] == "/x"
    with pytest.raises(OACConfigurationError, match="The result is of the type bytes"):
        plain([b"x"])
