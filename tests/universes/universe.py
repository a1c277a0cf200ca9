"""One universe: a simulated machine, network, OAC and Airflow, one or two tasks, and what goes wrong."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import structlog
from airflow.sdk._shared.secrets_masker.secrets_masker import SecretsMasker

from airflow_provider_oac.auth import store_file
from airflow_provider_oac.auth.session import PROCESS_STORE
from airflow_provider_oac.client.rest import snapshots
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.transport import asynchronous, blocking
from tests.leaks import parts
from tests.universes import driver
from tests.universes.chance import Chance
from tests.universes.kernel import Kernel, Loop, NeverEnds, Process, Wait
from tests.universes.network import KINDS, Network
from tests.universes.night import MARKED, ORPHANED, STOPPED, Night
from tests.universes.oac import SimulatedOac
from tests.universes.scenarios import Scenario

T = TypeVar("T")
SEAL_PASSWORD = "Correct-Horse-7-Battery"
ADMIN = "oac.admin@example.com"
#: What can happen to a process at any await, or to the world meanwhile.
KILLED, RESTART, TOKENS_END = "killed", "OAC restarts", "tokens end"
HAPPENINGS = (KILLED, ORPHANED, STOPPED, MARKED, RESTART, TOKENS_END)
#: So many points of a process are more interesting than the others.
_SOON = 40
#: How probable it is that something happens to a process after a request that changes something went wrong.
_HOT = 0.25
_places = itertools.count()


class Plan:
    """What kind of universe a seed makes: which things may go wrong, and how often."""

    def __init__(self, chance: Chance, scenario: type[Scenario]) -> None:
        def some(name: str, kinds: tuple[str, ...], share: float) -> tuple[str, ...]:
            # Few at a time: then two of one kind come together.
            if len(kinds) > 1 and chance.random(f"plan few {name}") < 0.6:
                return tuple(dict.fromkeys(one(name, kinds) for _ in range(2)))
            return tuple(kind for kind in kinds if chance.random(f"plan {name}") < share)

        def one(name: str, options: tuple[T, ...]) -> T:
            return options[int(len(options) * chance.random(f"plan {name}"))]

        self.rate = one("rate", (0.02, 0.08, 0.2))
        self.network = some("network", KINDS, 0.5)
        self.happenings = some("happenings", HAPPENINGS, 0.5)
        self.happening_rate = one("happening rate", (0.005, 0.02, 0.06))
        self.stores = some("stores", ("trouble",), 0.1)
        self.streams = some("streams", ("broken",), 0.5)
        self.clears = one("clears", (0.0, 0.2, 0.5))
        self.work_fails = chance.random("plan work") < 0.2
        self.remembers = bool(chance.pick("without a state store", (True, False)))
        self.deferrable = bool(chance.pick("deferrable", (False, True)))
        self.uses_chain = bool(chance.pick("refresh tokens", (False, False, True)))
        self.leases = bool(chance.pick("leases", (False, True)))
        self.tasks = int(chance.pick("tasks", (1, 1, 2))) if scenario.several else 1
        self.settings: dict[str, Any] = {
            "work_seconds": one("seconds", (0.0, 5.0, 60.0, 600.0)),
            "access_token_ttl": one("ttl", (3600, 100)),
            "work_request_id_in": one("id", ("both", "body", "header")),
            **scenario.settings(chance),
        }


class Universe:
    """Everything.

    :param scenario: the operator that is put to the test.
    :param seed: decides what happens.
    :param events: the only things that happen; ``None`` lets the seed decide.
    """

    def __init__(self, scenario: type[Scenario], seed: int, events: Mapping[str, int] | None = None) -> None:
        self.chance = Chance(seed, events)
        self.kernel = Kernel(self.chance)
        self.plan = Plan(self.chance, scenario)
        self.scenario = scenario()
        self.network = Network(self)
        self.lines: list[str] = []
        self.story: list[str] = []
        self.kept: dict[str, bytes] = {}
        self.locks: dict[str, Any] = {}
        self.nights: list[Night] = []
        self.complaints: list[str] = []
        self._points: Counter[Process] = Counter()
        self._triggerer: Loop | None = None
        self._waiting: dict[Wait, Callable[[], Any]] = {}
        self._tasks: dict[Wait, asyncio.Task[None]] = {}

    def run(self) -> None:
        """Let the nights go by, and judge them."""
        folder = Path(tempfile.mkdtemp(prefix="universe-", dir=_memory()))
        self.folder = folder
        driver._now.append(self)
        try:
            with self.kernel.machine(), _drivers(), patch.dict(os.environ, self._variables()):
                (folder / "buckets" / "oac-backups").mkdir(parents=True)
                self.oac = SimulatedOac(self.kernel, folder, self.plan.settings)
                self._connect()
                self.kernel.on_switch = PROCESS_STORE.clear
                self.scenario.prepare(self)
                self.nights = [Night(self, self.scenario, number) for number in range(self.plan.tasks)]
                try:
                    self._live()
                    self._judge()
                except NeverEnds as problem:
                    self.complaints.append(f"the night does not end: {problem}")
        finally:
            driver._now.pop()
            shutil.rmtree(folder, ignore_errors=True)

    def _live(self) -> None:
        """Until all tasks are over, those whose tries live on have ended, and OAC has done its work."""
        for night in self.nights:
            self.kernel.run(night.over)
            if night.over.error is not None:
                raise night.over.error
        self.chance.calm = True
        for night in self.nights:
            for orphan in night.orphans:
                if not orphan.dead:
                    self.kernel.run(orphan.ended)
        while any(record["status"] is None for record in self.oac.world.work_requests):
            self.kernel.run(self.kernel.timer(60.0))

    # -- what there is

    def _variables(self) -> dict[str, str]:
        return {
            "AIRFLOW__OAC__STORE": "file" if self.plan.uses_chain else "memory",
            "AIRFLOW__OAC__STORE_FOLDER": f"/universe-{next(_places)}",
            "AIRFLOW__CORE__FERNET_KEY": "Zm9yLXRlc3RzLW9ubHktMzItYnl0ZXMtbG9uZy1rZXk=",
            "AIRFLOW_CONN_OAC_SEAL": json.dumps({"conn_type": "generic", "password": SEAL_PASSWORD}),
        }

    def _connect(self) -> None:
        """Set the Connections `oac_default` (instance `dev`) and `oac_prod`."""
        world = self.oac.world
        app, user = world.confidential_app(), world.user(ADMIN)
        key = (self.folder / "app-key.pem").read_text()
        self.oac.secrets |= {SEAL_PASSWORD, key}
        for conn_id, name in (("oac_default", "dev"), ("oac_prod", "prod")):
            instance = world.instances[name]
            if self.plan.uses_chain:
                token = self.oac.domain.refresh.issue(app, "jwt-bearer", f"{instance.scope} offline_access", user)
                by = {"grant": "refresh_token", "refresh_token": token}
                self.oac.secrets.add(token)
            else:
                by = {"certificate_alias": next(iter(app["certificates"])), "private_key": key}
            extra = {"identity_url": world.identity_url, "scope": instance.scope, "user": ADMIN, "instance": name, **by}
            login = {"login": app["client_id"], "password": app["secret"]}
            self.connection(conn_id, {"conn_type": "oac", "host": instance.url, **login, "extra": extra})

    def connection(self, conn_id: str, connection: dict[str, Any]) -> None:
        """Set another Connection."""
        os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(connection)
        self.oac.secrets.add(connection["password"])

    # -- what happens

    def tell(self, line: str) -> None:
        """Add to the story of this universe."""
        self.story.append(f"{self.kernel.elapsed:10.2f} s  {line}")

    def failed(self, night: Night, error: BaseException) -> None:
        """A try failed."""
        text = f"{type(error).__name__}: {error}"
        self.lines.append(text)
        self.tell(f"{night.task_id}, try {night.try_number}: {text[:300]}")

    def point(self, process: Process, where: str) -> None:
        """A point between two awaits of a process."""
        if process.dead:
            self._vanish(process)
        self._points[process] += 1
        # A process that has come so far mostly waits.
        rate = self.plan.happening_rate * (1.0 if self._points[process] < _SOON else 0.2)
        if process in self.network.hot:
            # What it wanted to change may have been changed, or will be asked for again.
            self.network.hot.discard(process)
            rate = _HOT
        what = self.chance.event(f"at {where}", self.plan.happenings, rate)
        if what and self._happens(what, process):
            self.tell(f"{what}: {process.name} at {where}")
            renews = self.plan.leases and any(holder is process for _, holder, _ in self.locks.values())
            if what == ORPHANED and not renews and self.chance.event("lives on", ["late"], 0.5):
                # Its machine froze, and Airflow starts another try meanwhile. A freeze longer than a lease can cost the
                # chain of refresh tokens: see docs/token-store.md.
                self.kernel.wait(self.kernel.timer(1200.0 * self.chance.random("late")))
        if what and process.dead:
            self._vanish(process)

    def _vanish(self, process: Process) -> None:
        """Never return to a process that was killed; a triggerer pauses by itself."""
        if process.threads:
            self.kernel.hub.switch()

    def _happens(self, what: str, process: Process) -> bool:
        kernel = self.kernel
        if what == RESTART:
            if self.oac.down_until <= kernel.elapsed:
                self.oac.down_until = kernel.elapsed + 1.0 + 120.0 * self.chance.random("down")
                self.oac.start()
        elif what == TOKENS_END:
            self.oac.domain.access.end_all()
        elif what == KILLED:
            self.kill(process)
        else:
            night = next((night for night in self.nights if night.worker is process), None)
            return night is not None and night.interrupt(process, what)
        return True

    def kill(self, process: Process) -> None:
        """End a process as SIGKILL does."""
        if process.dead:
            return
        process.dead = True
        self.network.died(process)
        if self._triggerer is not None and self._triggerer.process is process:
            self._triggerer.dead = True
            self.kernel.after(5.0 + 60.0 * self.chance.random("triggerer"), self._another_triggerer)
            return
        for night in self.nights:
            night.lose(process)

    # -- the triggerer

    def wait_in_triggerer(self, make: Callable[[], Any]) -> Wait:
        """Run a trigger until its event."""
        ended = Wait()
        self._waiting[ended] = make
        if self._triggerer is None:
            self._another_triggerer()
        elif not self._triggerer.dead:
            self._begin(ended)
        return ended

    def forget(self, ended: Wait) -> None:
        """The task does not wait for its trigger any more."""
        self._waiting.pop(ended, None)
        task = self._tasks.pop(ended, None)
        if task is not None and not task.done():
            task.cancel()

    def _another_triggerer(self) -> None:
        self._triggerer = self.kernel.loop(Process(self.kernel, "triggerer"))
        for ended in list(self._waiting):
            self._begin(ended)

    def _begin(self, ended: Wait) -> None:
        loop, make = self._triggerer, self._waiting[ended]
        assert loop is not None

        async def wait() -> None:
            try:
                async for event in make().run():
                    self._waiting.pop(ended, None)
                    return ended.finish(json.loads(json.dumps(event.payload)))
                raise RuntimeError("the trigger ended without an event")
            except Exception as error:
                self._waiting.pop(ended, None)
                ended.finish(error=error)

        loop.call_soon(lambda: self._tasks.__setitem__(ended, loop.create_task(wait())))

    # -- judging

    def _judge(self) -> None:
        for night in self.nights:
            self.complaints += self.scenario.judge(self, night)
            if not (night.succeeded or self.scenario.final(night) or self.network.chain_lost):
                last = f"{type(night.errors[-1]).__name__}: {night.errors[-1]}" if night.errors else "no error"
                self.complaints.append(f"{night.task_id} ends {night.state} although all is well: {last}")
        self._judge_chain()
        self._judge_secrets()

    def _judge_chain(self) -> None:
        """Whether a new process can still sign in."""
        if not self.plan.uses_chain or self.network.chain_lost:
            return
        # Whatever was away is back, whatever was asked to wait has waited.
        self.kernel.run(self.kernel.timer(600.0))
        self.oac.domain.access.end_all()

        process = self.kernel.spawn("sign in", lambda: OACHook("oac_default").run(snapshots.list_all()))
        self.kernel.run(process.ended)
        if process.ended.error is not None:
            self.complaints.append(f"the chain of refresh tokens is dead: {process.ended.error}")

    def _judge_secrets(self) -> None:
        self.oac.remember_secrets()
        text = "\n".join(self.lines)
        if shown := [part for secret in self.oac.secrets for part in parts(secret) if part in text]:
            line = next((line for line in self.lines if shown[0] in line), "several lines")
            self.complaints.append(f"a secret is in a line: {line[:200]}")


def _memory() -> str | None:
    """A folder that is no disk, if there is one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@contextmanager
def _drivers() -> Iterator[None]:
    """Put the third driver, and the store of the universe, in the place of those of the provider."""
    if not driver._real_async:
        driver._real_async.append(asynchronous.AsyncIO())
    with (
        patch.object(blocking, "BlockingIO", driver.TaskIO),
        patch.object(asynchronous, "AsyncIO", driver.TriggerIO),
        patch.object(store_file, "FileStore", driver.SharedStore),
    ):
        PROCESS_STORE.clear()
        yield
    PROCESS_STORE.clear()


class _Lines(logging.Handler):
    """Gives log lines to the universe that runs."""

    def emit(self, record: logging.LogRecord) -> None:
        if driver._now:
            driver._now[-1].lines.append(record.getMessage() + (f" {record.exc_info[1]}" if record.exc_info else ""))


def _line(_logger: Any, _method: str, event: dict[str, Any]) -> Any:
    """The same for structlog."""
    if driver._now:
        text = str(event.get("event", ""))
        arguments = event.get("positional_args") or ()
        try:
            text = text % arguments if arguments else text
        except (TypeError, ValueError):
            text = f"{text} {arguments}"
        more = {name: value for name, value in event.items() if name not in ("event", "positional_args")}
        driver._now[-1].lines.append(f"{text} {more}" if more else text)
    raise structlog.DropEvent


@contextmanager
def quiet_logs() -> Iterator[None]:
    """For the duration of a `with` block, log lines go to the universe that runs, and nowhere else, and Airflow masks
    nothing in them: what is a secret must not be in them at all, and a masker that knows the tokens of a thousand
    nights takes long.
    """
    config, handler = structlog.get_config(), _Lines()
    with ExitStack() as before:
        before.enter_context(patch.object(SecretsMasker, "add_mask", lambda *_: None))
        before.enter_context(patch.object(sys, "unraisablehook", lambda _: None))
        before.callback(lambda: structlog.configure(**config))
        structlog.configure(processors=[_line], cache_logger_on_first_use=False)
        for log in map(logging.getLogger, ("airflow_provider_oac", "airflow", "oac_simulator")):
            before.enter_context(patch.multiple(log, handlers=[handler], propagate=False))
            before.callback(log.setLevel, log.level)
            log.setLevel(logging.INFO)
        yield
