"""A hook whose driver has no network: how deep a call is, and what it reports to hook lineage."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_oac import _compat
from airflow_provider_oac.client.ids import catalog_id
from airflow_provider_oac.client.rest import system, workbooks
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.hooks.sql import OACSqlHook
from airflow_provider_oac.transport.io import Request, Response
from tests.manual import ManualIO, response
from tests.unit.auth.keys_forms import pem

# Signed in by a JWT assertion, with tokens in memory.
EXTRA = {
    "identity_url": "https://idcs.example.com", "scope": "s", "user": "robot@example.com", "certificate_alias": "a",
    "private_key": pem("PKCS#8"),
}  # fmt: skip
DEPTHS: list[tuple[str, int]] = []


class Counting(ManualIO):
    """Counts the Python frames from ``hook.run`` to ``send``, both included."""

    async def send(self, request: Request) -> Response:
        frame, depth = sys._getframe(), 1
        while frame.f_code is not OACHook.run.__code__:
            assert frame.f_back is not None
            frame, depth = frame.f_back, depth + 1
        DEPTHS.append((request.url.split("/")[2], depth))
        return await super().send(request)


def answer(request: Request) -> Response:
    if "idcs" in request.url:
        return response(200, '{"access_token": "a-token-of-some-length", "token_type": "Bearer", "expires_in": 100}')
    return response(200, json.dumps({"description": "x"}))


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> OACHook:
    conn = {"conn_type": "oac", "host": "https://oac.example.com", "login": "id", "extra": EXTRA}
    monkeypatch.setenv("AIRFLOW_CONN_OAC_FRAMES", json.dumps(conn))
    hook = OACHook("oac_frames")
    # The driver is what an io is made of: this one has no network.
    hook.__dict__["io"] = Counting(answer)
    return hook


def test_a_call_is_at_most_8_frames_deep_and_16_with_a_sign_in(hook: OACHook) -> None:
    DEPTHS.clear()
    hook.run(system.get())
    hook.run(system.get())
    (idcs, cold), (_, first), (oac, cached) = DEPTHS
    assert (idcs, oac) == ("idcs.example.com", "oac.example.com")
    assert cold <= 16
    assert first == cached <= 8


def test_hook_lineage_hears_what_a_call_and_a_query_read(hook: OACHook, monkeypatch: pytest.MonkeyPatch) -> None:
    # Airflow's own, which it gives only where a plugin reads it.
    collector = import_module(_compat.get_hook_lineage_collector.__module__).HookLineageCollector()
    monkeypatch.setattr(_compat, "get_hook_lineage_collector", lambda: collector)
    hook.run(workbooks.download(catalog_id("/@Catalog/shared/Pipeline"), "1"))
    cursor: Any = SimpleNamespace(execute=lambda *_: None, sources=["Sales History"])
    OACSqlHook("oac_frames")._run_command(cursor, "SELECT 1", None)
    kept = getattr(collector, "collected_assets", None) or collector.collected_datasets
    assert [(type(one.context), (getattr(one, "asset", None) or one.dataset).uri) for one in kept.inputs] == [
        (OACHook, "oac://oac.example.com/catalog/shared/Pipeline"),
        (OACSqlHook, "oac://oac.example.com/subject-areas/Sales%20History"),
    ]
