"""What the tests of calls and flows over real HTTP share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from airflow_provider_oac.auth.session import Session
from airflow_provider_oac.client.api import Api, Work
from airflow_provider_oac.client.flows.polling import WaitPlan, wait
from airflow_provider_oac.client.rest import snapshots
from airflow_provider_oac.client.snapshot_names import SnapshotName
from airflow_provider_oac.transport.io import IO
from tests.drivers import Drive, SignIn

T = TypeVar("T")

PASSWORD = "Correct-Horse-7-Battery"
FOLDER, BUCKET = "oac-snapshots", "oac-backups"
STORAGE = snapshots.Storage(BUCKET)
QUICK = WaitPlan(longest_pause=0.05)

POST, LIST = "POST /snapshots", "GET /snapshots"
ONE, DELETE = "GET /snapshots/{snapshotId}", "DELETE /snapshots/{snapshotId}"
LOOK, RESTORE, SYSTEM = "GET /workRequests/{id}", "POST /system/actions/restoreSnapshot", "GET /system"

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


def take(run: Oac, name: SnapshotName | str, uri: str | None = None, *, registered: bool = False) -> str:
    """Take or register a snapshot and wait for it; returns its id."""
    path = uri or (name.uri(FOLDER) if isinstance(name, SnapshotName) else f"file:///by-hand/{name}.bar")
    call = (
        snapshots.register(str(name), path, STORAGE)
        if registered
        else snapshots.create(str(name), path, STORAGE, PASSWORD)
    )
    done = run(wait(run(call), QUICK))
    found = done.resource_id("SNAPSHOT")
    assert found
    return str(found)
