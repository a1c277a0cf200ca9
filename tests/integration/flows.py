"""What the tests of calls and flows over real HTTP share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from airflow_provider_oac.auth.session import Session
from airflow_provider_oac.client.api import Api, Work
from airflow_provider_oac.client.flows.polling import WaitPlan
from airflow_provider_oac.transport.io import IO
from tests.drivers import Drive, SignIn

T = TypeVar("T")
QUICK = WaitPlan(longest_pause=0.05)

LOOK, SYSTEM = "GET /workRequests/{id}", "GET /system"

Oac = Callable[..., Any]


def oac(drive: Drive, sign_in: SignIn, instance: str = "dev") -> Oac:
    """Runs a call or a flow at an instance, in the signed-in session of this test: `run(snapshots.list_all())`."""
    sessions: dict[str, Session] = {}

    def run(
        work: Work[T], user: str = "oac.admin@example.com", report: Callable[[str], None] = lambda _line: None
    ) -> T:
        session = sessions.setdefault(user, sign_in.session(instance, user=user))

        async def flow(io: IO) -> T:
            return await Api(io, sign_in.url(instance), session, report=report).run(work)

        return drive(flow)

    return run
