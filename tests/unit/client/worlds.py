"""A signed-in world without time and without a network: OAC is a function of the seconds since the start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from airflow_provider_oac.auth.session import MemoryStore, Session
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.client.api import Api, Work
from airflow_provider_oac.transport.io import Request
from tests.manual import Answer, ManualIO, response

T = TypeVar("T")

START = 1_700_000_000.0
SETTINGS = AuthSettings(
    identity_url="https://idcs.example.com", client_id="id", client_secret="secret", scope="s",
    grant="password", user="u", user_password="p", client_authentication="basic",
)  # fmt: skip
OAC = "https://oac.example.com"


def answering(oac: Answer | Callable[[float, Request], Answer], kind: type[ManualIO] = ManualIO) -> ManualIO:
    """The world. The token service always works, and its tokens live 100 s.

    :param oac: one answer to everything, or a function of the seconds since the start and the request.
    """

    def answers(request: Request) -> Answer:
        if request.url.startswith(SETTINGS.identity_url):
            return response(200, '{"access_token": "t", "token_type": "Bearer", "expires_in": 100}')
        return oac(io.time - START, request) if callable(oac) else oac

    io = kind(answers, now=START)
    return io


def run(io: ManualIO, work: Work[T], report: Callable[[str], None] = lambda _line: None) -> T:
    """Make a call or run a flow in it."""

    async def whole() -> T:
        return await Api(io, OAC, Session(SETTINGS, MemoryStore()), report=report).run(work)

    return asyncio.run(whole())


def asked(io: ManualIO, method: str = "") -> list[Request]:
    """What OAC was asked."""
    return [request for request in io.requests if request.url.startswith(OAC) and request.method.startswith(method)]
