"""How deep a call is: Python frames from ``hook.run`` to the driver's ``send``, both included."""

from __future__ import annotations

import json
import sys

import pytest

from airflow_provider_oac.client.rest import system
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.transport.io import Request, Response
from tests.manual import ManualIO, response
from tests.unit.auth.keys_forms import pem

# Signed in by a JWT assertion, with tokens in memory.
EXTRA = {
    "identity_url": "https://idcs.example.com", "scope": "s", "user": "robot@example.com", "certificate_alias": "a",
    "private_key": pem("PKCS#8"),
}  # fmt: skip


class Counting(ManualIO):
    """Counts the frames above a request."""

    depths: list[tuple[str, int]]

    async def send(self, request: Request) -> Response:
        frame, depth = sys._getframe(), 1
        while frame.f_code is not OACHook.run.__code__:
            assert frame.f_back is not None
            frame, depth = frame.f_back, depth + 1
        self.depths.append((request.url.split("/")[2], depth))
        return await super().send(request)


def answer(request: Request) -> Response:
    if "idcs" in request.url:
        return response(200, '{"access_token": "a-token-of-some-length", "token_type": "Bearer", "expires_in": 100}')
    return response(200, json.dumps({"description": "x"}))


def test_a_call_is_at_most_8_frames_deep_and_16_with_a_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    conn = {"conn_type": "oac", "host": "https://oac.example.com", "login": "id", "extra": EXTRA}
    monkeypatch.setenv("AIRFLOW_CONN_OAC_FRAMES", json.dumps(conn))
    hook, io = OACHook("oac_frames"), Counting(answer)
    io.depths = []
    # The driver is what an io is made of: this one has no network.
    hook.__dict__["io"] = io
    hook.run(system.get())
    hook.run(system.get())
    (idcs, cold), (_, first), (oac, cached) = io.depths
    assert (idcs, oac) == ("idcs.example.com", "oac.example.com")
    assert cold <= 16
    assert first == cached <= 8
