"""A pytest plugin for DAG authors: the fixture `oac` is a running simulated Oracle Analytics Cloud.

Pytest loads the plugin through the entry point `oac-simulator` in every run, so at the top it imports only modules that
pytest has already loaded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from oac_simulator.control import Control
    from oac_simulator.launch import Simulator

#: Satisfies OAC's password rules for snapshots.
_SEAL_PASSWORD = "Simulated-Seal-2026!"  # noqa: S105 - protects simulated snapshots only
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class SimulatedOAC:
    """A test's view of a simulated OAC: Connections in the environment, content, and faults.

    :param simulator: the running simulator.
    :param environment: the environment that receives the Connections.
    :ivar conn_id: Connection of the administrator at the first instance.
    :ivar seal_conn_id: Connection whose password protects snapshots.
    :ivar instance: name of the first instance.
    :ivar bucket: name of a bucket for snapshots.
    :ivar ready: content of the simulator's ready file.
    :ivar control: client of the control API, for everything else.
    """

    conn_id = "oac_default"
    seal_conn_id = "oac_seal"

    def __init__(self, simulator: Simulator, environment: pytest.MonkeyPatch) -> None:
        self._environment = environment
        self.ready: dict[str, Any] = simulator.ready
        self.control: Control = simulator.control
        self.instance: str = next(iter(self.ready["instances"]))
        self.bucket: str = self.ready["default_bucket"]
        self.connect()
        self._set(self.seal_conn_id, {"conn_type": "generic", "password": _SEAL_PASSWORD})

    def connect(self, conn_id: str = conn_id, *, instance: str | None = None, user: str | None = None) -> str:
        """Add a Connection to an instance.

        :param conn_id: its ID.
        :param instance: name of the instance; the first by default.
        :param user: the OAC user: `oac.admin@example.com` (default), `oac.author@example.com`, ...
        :returns: the Connection ID.
        :raises ValueError: if there is no such instance.
        :raises ControlFailed: if there is no such user.
        """
        instances, name = self.ready["instances"], instance or self.instance
        if name not in instances:
            raise ValueError(f"There is no instance {name!r}. Known: {', '.join(instances)}.")
        if user is not None:
            self.control.user(user)
        target = instances[name]
        extra = {
            "identity_url": self.ready["identity_url"],
            "scope": target["scope"],
            "user": user or next(iter(self.ready["users"])),
            "certificate_alias": self.ready["certificate_alias"],
            "private_key": Path(self.ready["private_key_file"]).read_text(),
            "instance": name,
        }
        if "ca_file" in self.ready:
            extra["ca_file"] = self.ready["ca_file"]
        host, login = target["url"], self.ready["client_id"]
        self._set(conn_id, {"conn_type": "oac", "host": host, "login": login, "extra": extra})
        return conn_id

    def _set(self, conn_id: str, connection: dict[str, Any]) -> None:
        self._environment.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))

    # ------------------------------------------------------------------------------------------ content

    def add(self, type: str, plain: str, **members: Any) -> dict[str, Any]:
        """Add an item to the catalog of the first instance.

        :param type: `workbooks`, `folders`, `datasets`, ...
        :param plain: its path, such as `/@Catalog/shared/Sales/New`, or its pair, such as `'admin'.'New'`.
        :param members: `owner`, `description`, `definition`, `acl`, ...
        :returns: the item.
        """
        return self.control.add_items(self.instance, {"type": type, "plain": plain, **members})[0]

    def items(self, type: str | None = None) -> dict[str, dict[str, Any]]:
        """Return the items of the first instance's catalog by plain ID, of one type or all.

        :raises ValueError: if there is no such type.
        """
        from oac_simulator.oac.items import TYPES

        if type not in (None, *TYPES):
            raise ValueError(f"There is no catalog type {type!r}. Known: {', '.join(TYPES)}.")
        catalog = self.control.content(self.instance)["catalog"]
        return {item["plain"]: item for item in catalog if type in (None, item["type"])}

    def snapshots(self) -> list[str]:
        """Return the names of the first instance's complete snapshots, oldest first."""
        complete = filter(_complete, self.control.snapshots(self.instance))
        return [snapshot["name"] for snapshot in sorted(complete, key=itemgetter("created"))]

    def add_snapshot(self, label: str, *, age: timedelta = timedelta(0), folder: str = "oac-snapshots") -> str:
        """Add a complete snapshot of the first instance with its file, named as `OACCreateSnapshotOperator` names it.

        :param label: its series, the operator's `snapshot_label`.
        :param age: how long ago it was created.
        :param folder: its folder in the bucket, the operator's `folder`.
        :returns: its name.
        """
        time = f"{datetime.now(UTC) - age:%Y%m%dT%H%M%SZ}"
        name = "--".join((label, self.instance, time, self.seal_conn_id, os.urandom(10).hex()))
        path = "/".join(filter(None, (folder, self.instance, f"{name}.bar")))
        self.control.add_snapshot(self.instance, name, f"file:///{path}", _SEAL_PASSWORD, age=age.total_seconds())
        return name

    def files(self) -> list[str]:
        """Return the files in the bucket."""
        return [path.removeprefix(f"{self.bucket}/") for path in self.control.bucket()]

    def calls(self, endpoint: str) -> int:
        """Return the number of calls to an endpoint of the first instance, such as `POST /snapshots`, or to `token`.

        :raises ControlFailed: if there is no such endpoint; the message names the closest ones.
        """
        of_identity = endpoint in self.control.endpoints()["identity"]
        return self.control.calls("identity" if of_identity else self.instance, endpoint)

    # ------------------------------------------------------------------------------------------- faults

    def lose_reply(self, endpoint: str, *, times: int = 1) -> None:
        """Let OAC carry out the next calls, but break the connection before the reply.

        :param endpoint: such as `POST /snapshots`, `GET /workRequests/{id}`, `token`, or `*`.
        :param times: how many calls.
        :raises ControlFailed: if there is no such endpoint; the message names the closest ones.
        """
        self.control.fault(endpoint, "drop_after", times=times)

    def fail_next(self, endpoint: str, status: int = 503, *, times: int = 1, **details: Any) -> None:
        """Let the next calls do nothing and return an HTTP error.

        :param endpoint: as for :meth:`lose_reply`.
        :param status: the HTTP status.
        :param times: how many calls.
        :param details: `body`, `headers`, ... of the reply.
        :raises ControlFailed: as for :meth:`lose_reply`.
        """
        self.control.fault(endpoint, "status", status=status, times=times, **details)

    def fail_work(self, endpoint: str, message: str, *, code: str = "InternalError", times: int = 1) -> None:
        """Let OAC accept the next calls, and let their work requests fail.

        :param endpoint: the call that starts the work, such as `POST /catalog/datasets/{datasetId}/actions/reload`.
        :param message: message of the work requests' error.
        :param code: code of that error.
        :param times: how many calls.
        :raises ControlFailed: if there is no such endpoint, or it starts no work; the message names the closest ones.
        """
        self.control.fault(endpoint, "fail_work", times=times, errors=[{"code": code, "message": message}])


def _complete(snapshot: dict[str, Any]) -> bool:
    return bool(snapshot["state"] == "SUCCEEDED")


@pytest.fixture(scope="session")
def oac_options() -> dict[str, Any]:
    """Options of the simulator; override them in `conftest.py`, for example `{"instances": ["test"], "tls": True}`."""
    return {}


@pytest.fixture(scope="session")
def oac_simulator(oac_options: dict[str, Any]) -> Iterator[Simulator]:
    """The simulator of a test session, in a separate process."""
    from oac_simulator.launch import launch

    with launch(**{"work_seconds": 0.1, **oac_options}) as simulator:
        yield simulator


@pytest.fixture
def oac(oac_simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> SimulatedOAC:
    """A simulated OAC in its first state, with the Connections `oac_default` and `oac_seal` in the environment."""
    oac_simulator.control.reset()
    # Bypass any proxy: the simulator listens on loopback only.
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, ",".join([*filter(None, [os.environ.get(name)]), *_LOOPBACK]))
    return SimulatedOAC(oac_simulator, monkeypatch)
