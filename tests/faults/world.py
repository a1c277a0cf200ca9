"""A task in processes of its own, a network and a simulated OAC, to which faults happen."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from oac_simulator.launch import Simulator
from tests.faults import task_process
from tests.tasks import SEAL_PASSWORD, oac_connection
from tools.oac_connections import refresh_token

LOOK = "GET /workRequests/{id}"
PATIENCE = 240.0


FORKS = multiprocessing.get_context("forkserver")
# What a worker has loaded before a task runs, and what the tests of the command line load.
FORKS.set_forkserver_preload(
    [
        "airflow.models.dag", "airflow_provider_oac.hooks.connection_test", "airflow_provider_oac.operators.snapshots",
        "airflow_provider_oac.cli.inspect", "airflow_provider_oac.cli.sign_in", "tests.faults.task_process",
        "tests.chains", "tests.integration.commands",
    ]
)  # fmt: skip


def until(check: Callable[[], Any], what: str, patience: float = 60.0) -> Any:
    """Call `check` until it returns something true."""
    end = time.monotonic() + patience
    while not (found := check()):
        assert time.monotonic() < end, f"waited {patience:.0f} s in vain until {what}"
        time.sleep(0.05)
    return found


class World:
    """One logical task, and what it needs.

    Its Connection `oac_default` signs in with a chain of refresh tokens kept in a store, whose access tokens live for
    seconds, so that a broken chain shows.

    :param deferred: whether it waits in the triggerer.
    :param remembers: whether there is a task state store, as in Airflow 3.3.
    """

    def __init__(self, simulator: Simulator, folder: Path, kind: str, deferred: bool, remembers: bool) -> None:
        self.simulator, self.control = simulator, simulator.control
        self.folder, self.kind, self.deferred, self.remembers = folder, kind, deferred, remembers
        self.arguments: dict[str, Any] = {"deferrable": deferred, "poll_interval": 0.3}
        self.instance = "dev"
        self.largest_file: int | None = None
        #: Whether its sign-in is looked at in the end.
        self.uses_refresh_token = True
        self.try_number, self.began = 0, time.time()
        self.errors: list[str] = []
        self.outcome: dict[str, Any] = {}
        self._process: Any = None
        self._steps = 0
        self._die: str | None = None
        self._deferral: dict[str, Any] = {}
        self.env = {
            **os.environ,
            "AIRFLOW__OAC__STORE": "file",
            "AIRFLOW__OAC__STORE_FOLDER": str(self.store_folder),
            "AIRFLOW__CORE__FERNET_KEY": "Zm9yLXRlc3RzLW9ubHktMzItYnl0ZXMtbG9uZy1rZXk=",
            "AIRFLOW_CONN_OAC_SEAL": json.dumps({"conn_type": "generic", "password": SEAL_PASSWORD}),
        }
        self.control.settings(access_token_ttl=6)
        self.sign_in_by_chain()

    @property
    def store_folder(self) -> Path:
        return self.folder / "tokens"

    def close(self) -> None:
        """Leave nothing running."""
        if not self._over():
            self.kill()

    # -- its Connection

    def connect(self, **extra: Any) -> None:
        """Set the Connection, with members of its extra."""
        ready = self.simulator.ready
        connection = oac_connection(ready, self.instance, **extra)
        connection["password"] = ready["client_secret"]
        connection["extra"] = {name: value for name, value in connection["extra"].items() if value is not None}
        self.env["AIRFLOW_CONN_OAC_DEFAULT"] = json.dumps(connection)

    def sign_in_by_chain(self) -> None:
        """Hand out a refresh token, as a person does who signs in, and put it into the Connection."""
        without = {"private_key": None, "certificate_alias": None}
        ready = self.simulator.ready
        scoped = {**ready, "instances": {self.instance: ready["instances"][self.instance]}}
        self.connect(grant="refresh_token", refresh_token=refresh_token(scoped), **without)

    def sign_in_by_key(self) -> None:
        """Sign in by JWT assertion."""
        self.connect(grant="jwt_assertion")

    def cut(self) -> None:
        """The network goes down: each connection is reset."""
        self.control.fault("*", "drop_before", times=None)

    def mend(self) -> None:
        """The network is there again."""
        self.control.clear_faults()

    # -- its tries

    def begin(self, die: str | None = None) -> None:
        """Start the next try; `die` is the point at which its process is killed."""
        self.try_number += 1
        self._die = die
        self._launch("try")

    def _launch(self, step: str, event: Any = None) -> None:
        self._run(
            step=step, kind=self.kind, arguments=self.arguments, try_number=self.try_number, store=self.remembers,
            began=self.began, die=self._die, deferral=self._deferral, event=event, largest_file=self.largest_file,
        )  # fmt: skip

    def _run(self, **order: Any) -> None:
        """Start a process that does what is ordered."""
        self._steps += 1
        (self.folder / "outcome.json").unlink(missing_ok=True)
        arguments = (self.folder, self.env, self.folder / f"log-{self._steps:02}.txt", order)
        self._process = FORKS.Process(target=task_process.run, args=arguments)
        self._process.start()

    def _ended(self) -> int:
        """The exit code of the process that runs, once it has ended: negative for a signal."""
        self._process.join(PATIENCE)
        code = self._process.exitcode
        assert code is not None, f"a process does not end: {self.log()[-3000:]}"
        return int(code)

    def advance(self) -> bool:
        """Wait for the process that runs, and start what follows it; whether something does."""
        code = self._ended()
        if code:
            assert code == -9, f"a process ended with {code}: {self.log()[-3000:]}"
            self.outcome = {"state": "killed"}
            return False
        self.outcome = json.loads((self.folder / "outcome.json").read_text())
        match self.outcome["state"]:
            case "deferred":
                self._deferral = self.outcome["deferral"]
                self._launch("triggerer")
            case "event":
                self._launch("execute_complete", self.outcome["event"])
            case "failed":
                self.errors.append(self.outcome["error"])
        return self.outcome["state"] in ("deferred", "event")

    def finish(self, work_ends: bool = True) -> str:
        """Let the try come to its end; returns ``success``, ``failed`` or ``killed``.

        :param work_ends: whether its work in OAC is done soon.
        """
        if work_ends:
            self.control.settings(work_seconds=1.0)
            for one in self.control.work_requests(self.instance):
                if one["status"] in ("ACCEPTED", "IN_PROGRESS"):
                    self.control.finish(self.instance, one["id"])
        while self.advance():
            pass
        return str(self.outcome["state"])

    def attempt(self, die: str | None = None) -> str:
        """A whole try."""
        self.begin(die)
        return self.finish()

    def until_it_waits(self) -> None:
        """Let the try come to where it looks at its work request: in its own process, or in the triggerer's."""
        seen = self.control.calls(self.instance, LOOK)
        if self.deferred:
            assert self.advance(), self.outcome
            # The task looked itself before it deferred.
            seen = self.control.calls(self.instance, LOOK)
        until(lambda: self.control.calls(self.instance, LOOK) > seen or self._over(), "the task waits")
        assert not self._over(), self.log()[-3000:]

    def goes_on(self) -> bool:
        """Whether the try goes on; a process that has ended is followed by the next one."""
        return not self._over() or self.advance()

    def _over(self) -> bool:
        return self._process is None or not self._process.is_alive()

    def kill(self) -> None:
        """End the process that runs now as the kernel does, without a warning."""
        assert self._process.is_alive(), self.log()[-3000:]
        self._process.kill()
        self._ended()

    def terminate(self) -> None:
        """Tell the process that runs now to stop, as Airflow does."""
        self._process.terminate()

    def another_triggerer(self) -> None:
        """A triggerer takes over what a dead one waited for."""
        self._launch("triggerer")

    # -- what came of it

    def log(self) -> str:
        """What all its processes wrote."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("log-*.txt")))

    def good(self) -> int:
        """How many good snapshots, files or restores there are."""
        if self.kind == "export":
            return len([path for path in (self.folder / "out").glob("*") if not path.name.startswith(".")])
        if self.kind == "restore":
            return self.control.calls(self.instance, "POST /system/actions/restoreSnapshot")
        return len([one for one in self.control.snapshots(self.instance) if one["state"] not in ("FAILED", "CANCELED")])

    def chain_is_alive(self) -> None:
        """Check that the sign-in still works in a new process, after the token that is kept was refused."""
        self.control.end_tokens()
        self._run(step="sign in")
        assert self._ended() == 0, self.log()[-3000:]
        said = json.loads((self.folder / "outcome.json").read_text())
        assert said["state"] == "success", f"the chain of refresh tokens is dead: {said['error']}"
