"""What the tests of the Airflow part share."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from cryptography.fernet import Fernet

from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.store import EncryptedStore, StoreEntry
from airflow_provider_oac.auth.store_file import FileStore
from airflow_provider_oac.hooks import defer_decision, shared_poller
from airflow_provider_oac.triggers import oac
from oac_simulator.launch import Simulator, launch
from tests.drivers import Drive, SignIn
from tests.integration import flows
from tests.integration.raw_domain import Domain
from tests.integration.servers import answering
from tests.tasks import Connections, oac_connection


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine on an event loop."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}))
    return True


@pytest.fixture(autouse=True)
def no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no Airflow scheduler here that would have to notice a deferral before its trigger fires; what is to wait
    in the triggerer does so, however short it is; and a Connection that is not there will not come."""
    monkeypatch.setattr(oac, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(defer_decision, "WORKER_SECONDS", 0.0)
    monkeypatch.setattr(shared_poller, "_READING_AGAIN", (0.1,))


@pytest.fixture
def run(drive: Drive, sign_in: SignIn) -> flows.Oac:
    """Runs a call or a flow at the instance `dev`: `run(snapshots.list_all())`."""
    return flows.oac(drive, sign_in)


@pytest.fixture
def connections(clean: Simulator, monkeypatch: pytest.MonkeyPatch) -> Connections:
    """Connections `oac_default` (instance `dev`) and `oac_seal`, to be changed by the test; the simulator is clean."""
    known = Connections(clean.ready, monkeypatch)
    known.oac()
    known.seal()
    return known


@pytest.fixture
def quick(clean: Simulator) -> Simulator:
    """A domain that asks to be polled every second for a device code, and does not need five of them."""
    clean.control.settings(device_interval=1, device_send_interval=True)
    return clean


@pytest.fixture(params=["blocking", "deferred"])
def deferrable(request: pytest.FixtureRequest) -> bool:
    """The test runs twice: waiting in the worker, and in the triggerer."""
    return bool(request.param == "deferred")


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """What was logged so far, wherever this Airflow writes it to."""
    caplog.set_level(logging.INFO)
    return lambda: caplog.text + "".join(capsys.readouterr())


@pytest.fixture(params=[True, False], ids=["store", "no store"])
def store(request: pytest.FixtureRequest) -> bool:
    """The test runs twice: with a state store as in Airflow 3.3, and without one as in 2.11."""
    return bool(request.param)


@pytest.fixture(scope="session")
def secure() -> Iterator[Simulator]:
    """A simulator with TLS, by a CA of its own."""
    with launch(work_seconds=0.0, instances=["dev"], tls=True) as running:
        yield running


@pytest.fixture
def domain() -> Iterator[Domain]:
    """An identity domain that shows raw requests, and an OAC."""
    made = Domain()
    with answering(made.reply) as server:
        made.server = server
        yield made


@pytest.fixture
def place(tmp_path: Path) -> Callable[[AuthSettings], StoreEntry]:
    """Gives the place of a sign-in in a store of this test."""
    vault = EncryptedStore(FileStore(str(tmp_path / "store")), [Fernet.generate_key().decode()])
    return vault.store_entry


@pytest.fixture
def openlineage(monkeypatch: pytest.MonkeyPatch) -> None:
    """As much of OpenLineage's provider and client as is used, where they are not installed."""
    try:
        import airflow.providers.openlineage.extractors  # noqa: F401
    except ImportError:
        for path, names in (
            ("airflow.providers.openlineage", {}),
            ("airflow.providers.openlineage.extractors", {"OperatorLineage": SimpleNamespace}),
            ("openlineage", {}), ("openlineage.client", {}),
            ("openlineage.client.event_v2", {"Dataset": SimpleNamespace}),
        ):  # fmt: skip
            module = ModuleType(path)
            vars(module).update(names)
            monkeypatch.setitem(sys.modules, path, module)


@pytest.fixture
def teams(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The teams `us` and `them`, and the Connection `oac_of_us`, where Airflow has teams."""
    Team = pytest.importorskip("airflow.models.team").Team
    from airflow.models import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    if not hasattr(Connection, "team_name"):
        pytest.skip("this Airflow has no teams")
    monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
    of_us = oac_connection(connections.ready)
    row = {**of_us, "extra": json.dumps(of_us["extra"]), "conn_id": "oac_of_us", "team_name": "us"}
    with create_session() as session:
        session.add_all([Team(name="us"), Team(name="them")])
        session.flush()
        session.add(Connection(**row))
    yield
    with create_session() as session:
        session.execute(delete(Connection).where(Connection.conn_id == "oac_of_us"))
        session.execute(delete(Team))
