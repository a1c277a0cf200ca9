"""The operators that start or change something: what each is given, and how what came of it is judged."""

from __future__ import annotations

import hashlib
import inspect
import json
import pkgutil
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_oac import operators
from airflow_provider_oac.client import ids
from airflow_provider_oac.client.snapshot_names import SnapshotName, parse, task_mark
from airflow_provider_oac.operators.base import OACBaseOperator, OACWorkOperator
from oac_simulator.oac.bar import is_bar, seal
from oac_simulator.oac.snapshot_rules import bar_path
from tests.universes.chance import Chance

if TYPE_CHECKING:
    from tests.universes.night import Night, Order
    from tests.universes.universe import Universe

_MODULES = [import_module(name) for _, name, _ in pkgutil.iter_modules(operators.__path__, f"{operators.__name__}.")]
#: All operators, by name.
OPERATORS: dict[str, Any] = {
    name: kind for module in _MODULES for name, kind in vars(module).items()
    if name.startswith("OAC") and inspect.isclass(kind) and issubclass(kind, OACBaseOperator)
}  # fmt: skip
SCENARIOS: dict[str, type[Scenario]] = {}
SALES, FINANCE, PIPELINE = "/@Catalog/shared/Sales", "/@Catalog/shared/Finance", "/@Catalog/shared/Sales/Pipeline"
AUTHOR, COLLEAGUE = "oac.author@example.com", "oac.colleague@example.com"
READER = {"account": COLLEAGUE, "permissions": ["read"]}
WAREHOUSE = {
    "connection_name": "Warehouse", "connection_type": "postgresql", "if_exists": "update",
    "connection_params": {"host": "db.example.com", "port": "5432"},
}  # fmt: skip
RUN_FLOW = f"/catalog/dataflows/{ids.object_id('admin', 'Load Orders')}/actions/run"


class Scenario:
    """An operator in the universes. The name of the class is that of the operator."""

    name: ClassVar[str] = ""
    #: Whether there may be two tasks with it at a time.
    several: ClassVar[bool] = False
    given: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls, **given: Any) -> None:
        """:param given: what the operator is given, unless :meth:`arguments` says so."""
        name = f"OAC{cls.__name__}Operator"
        if name in OPERATORS:
            cls.name, SCENARIOS[name] = name, cls
        cls.given = given or cls.given

    @classmethod
    def settings(cls, chance: Chance) -> dict[str, Any]:
        """Settings of the simulator."""
        return {}

    def prepare(self, universe: Universe) -> None:
        """What there is before the night."""

    def arguments(self, night: Night) -> dict[str, Any]:
        """What the operator is given."""
        return self.given

    def operator(self, night: Night) -> Any:
        """The operator, made anew for each process."""
        kind = OPERATORS[self.name]
        waits = {"deferrable": night.universe.plan.deferrable} if issubclass(kind, OACWorkOperator) else {}
        return kind(task_id=night.task_id, retries=2, **waits, **self.arguments(night))

    def judge(self, universe: Universe, night: Night) -> Iterator[str]:
        """Say what is wrong with what came of a night."""
        raise NotImplementedError

    def final(self, night: Night) -> bool:
        """Whether the task rightly ends as it did, although it failed."""
        return False


def content(universe: Universe, instance: str = "dev") -> dict[str, Any]:
    """What an instance holds."""
    return universe.oac.world.content.get(instance) or {}


class CreateSnapshot(Scenario, snapshot_label="nightly", bucket="oac-backups", seal_conn_id="oac_seal"):
    """A backup."""

    several = True

    @classmethod
    def settings(cls, chance: Chance) -> dict[str, Any]:
        return {"failed_listing": ("drop", "keep")[int(2 * chance.random("plan failed listing"))]}

    def judge(self, universe: Universe, night: Night) -> Iterator[str]:
        snapshots = list(universe.oac.world.snapshots)
        names = {item["name"]: parse(item["name"]) for item in snapshots}
        mine = {order: _mark(night, order) for order in night.orders}
        assert all(names.values())
        if len({item["uri"] for item in snapshots}) != len(snapshots):
            yield "two snapshots have one file"
        for number, (order, mark) in enumerate(mine.items()):
            good = [item["name"] for item in snapshots if item["state"] == "SUCCEEDED" and f"--{mark}" in item["name"]]
            if len(good) > 1:
                yield f"order {number} of {night.task_id} has {len(good)} snapshots: {', '.join(good)}"
            for result in order.results:
                yield from self._judge_result(universe, result, set(mine.values()))

    def _judge_result(self, universe: Universe, result: Any, mine: set[str]) -> Iterator[str]:
        found = next((item for item in universe.oac.world.snapshots if item["name"] == result["name"]), None)
        name = parse(result["name"])
        if name is None or name.mark not in mine:
            yield f"a snapshot of another order was adopted: {result['name']}"
        if result["verified"]:
            if found is None or found["state"] != "SUCCEEDED":
                yield f"{result['name']} is said to be verified, but is {found and found['state']}"
            elif not is_bar(bar_path(universe.oac.world, found).read_bytes()):
                yield f"the file of {result['name']} is not whole"
            elif result["snapshot_id"] != found["id"]:
                yield f"the result of {result['name']} has another id"


def _mark(night: Night, order: Order) -> str:
    return task_mark("a_dag", night.run_id, night.task_id, -1, order.max_tries)


# ------------------------------------------------------------------------------------------------------------ restore

SEAL_PASSWORD = "Correct-Horse-7-Battery"


def _archived(universe: Universe, instance: str, number: int, of: str | None = None) -> dict[str, Any]:
    """Give an instance a snapshot with its file; what a backup says of it."""
    world = universe.oac.world
    source = of or instance
    when = datetime.fromtimestamp(universe.kernel.now(), UTC) - timedelta(days=number)
    name = SnapshotName("nightly", source, when, "oac_seal", f"{number:020x}")
    record = {
        "id": str(uuid.UUID(int=number + 1)), "instance": instance, "name": str(name), "uri": name.uri("oac-snapshots"),
        "storage": {"type": "OCI_NATIVE", "bucket": "oac-backups", "auth": {"type": "OCI_RESOURCE_PRINCIPAL"}},
        "user": "oac.admin@example.com", "created": when.timestamp(), "state": "SUCCEEDED", "registered": False,
    }  # fmt: skip
    world.snapshots.put(record["id"], record)
    path = bar_path(world, record)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(seal(content(universe, source), source, SEAL_PASSWORD))
    return {
        "snapshot_id": record["id"], "name": record["name"], "bar_uri": record["uri"], "bucket": "oac-backups",
        "seal": "oac_seal", "source_instance": source, "taken_at": when.isoformat(), "work_request_id": None,
        "verified": True,
    }  # fmt: skip


class RegisterSnapshot(Scenario):
    """A backup's file is made known to another instance."""

    def prepare(self, universe: Universe) -> None:
        self.backup = _archived(universe, "dev", 1)

    def arguments(self, night: Night) -> dict[str, Any]:
        return {"oac_conn_id": "oac_prod", "snapshot": self.backup}

    def judge(self, universe: Universe, night: Night) -> Iterator[str]:
        good = {
            item["id"] for item in universe.oac.world.snapshots
            if (item["instance"], item["uri"], item["state"]) == ("prod", self.backup["bar_uri"], "SUCCEEDED")
        }  # fmt: skip
        # OAC's list does not show whether a registration is complete, and a result says so.
        verified = all(result["verified"] for result in night.results)
        if len(good) > 1 or (night.succeeded and verified and len(good) != 1):
            yield f"the file is registered {len(good)} times"
        for result in night.results:
            if result["verified"] and result["snapshot_id"] not in good:
                yield f"the result names another snapshot: {result['snapshot_id']}"


class RestoreSnapshot(Scenario):
    """A restore, which is never sent twice."""

    @classmethod
    def settings(cls, chance: Chance) -> dict[str, Any]:
        return {"restore_outage": chance.random("plan outage") < 0.3}

    def prepare(self, universe: Universe) -> None:
        self.backup = _archived(universe, "prod", 1, of="dev")
        self.safe = universe.chance.random("plan safety") < 0.5

    def arguments(self, night: Night) -> dict[str, Any]:
        first = {"safety_bucket": "oac-backups", "safety_seal_conn_id": "oac_seal"}
        target = {"oac_conn_id": "oac_prod", "expected_host": "prod.example.com", "snapshot": self.backup}
        return {**target, **(first if self.safe else {"without_safety_snapshot": True})}

    def judge(self, universe: Universe, night: Night) -> Iterator[str]:
        sent = [work for work in universe.oac.world.work_requests if work["operation"] == "RESTORE_SNAPSHOT"]
        good = [work for work in sent if work["status"] == "SUCCEEDED"]
        if len(good) > 1:
            yield f"{len(good)} restores succeeded"
        if night.succeeded and not good:
            yield "the task succeeded, and nothing was restored"
        if self.safe and sent:
            first = min(work["accepted"] for work in sent)
            if not any(
                item["name"].startswith("before-restore--")
                and item["state"] == "SUCCEEDED"
                and item["created"] <= first
                for item in universe.oac.world.snapshots
            ):
                yield "a restore was sent without a safety snapshot"

    def final(self, night: Night) -> bool:
        # What may have been sent is not sent again, and a Clear needs another approval.
        return bool(night.universe.chance.events)


# --------------------------------------------------------------------------------------------------------------- runs


class _Run(Scenario):
    """Something is run once for each order."""

    plain: ClassVar[str] = ""

    def most(self, night: Night) -> int:
        """How many runs there may be."""
        return len(night.orders)

    def judge(self, universe: Universe, night: Night) -> Iterator[str]:
        world = universe.oac.world
        # Those that did not fail.
        jobs = [
            job for job in world.jobs
            if job["plain"] == self.plain and world.work_requests.get(job["work_request"])["status"] == "SUCCEEDED"
        ]  # fmt: skip
        if len(jobs) > self.most(night):
            yield f"{len(jobs)} runs for {len(night.orders)} orders and {night.try_number} tries"
        if night.succeeded and not jobs:
            yield "the task succeeded, and nothing ran"
        known = {job["work_request"] for job in jobs} | {job["id"] for job in jobs}
        for result in night.results:
            if "job_id" in result and (result["work_request_id"] or result["job_id"]) not in known:
                yield f"the result names another run: {result}"


class ReloadDataset(_Run, dataset="'admin'.'Orders'"):
    plain = "'admin'.'Orders'"


class RunDataFlow(_Run, data_flow="'admin'.'Load Orders'"):
    plain = "'admin'.'Load Orders'"


class RunSequence(_Run, sequence="'admin'.'Nightly'"):
    plain = "'admin'.'Nightly'"


class Api(_Run, method="POST", path=RUN_FLOW, wait_for_completion=True):
    """Any call that starts work: with a store it is never sent twice; without one each try sends it."""

    plain = "'admin'.'Load Orders'"

    def most(self, night: Night) -> int:
        return len(night.orders) if night.remembers else night.try_number

    def final(self, night: Night) -> bool:
        return bool(night.universe.chance.events)


# ------------------------------------------------------------------------------------------------------------- exports


class ExportWorkbook(Scenario):
    """A file that is whole or not there."""

    def prepare(self, universe: Universe) -> None:
        self.folder = universe.folder / "out"
        self.folder.mkdir()

    def arguments(self, night: Night) -> dict[str, Any]:
        return {"workbook_path": PIPELINE, "destination": f"file://{self.folder}/board.pdf"}

    def judge(self, universe: Universe, night: Night) -> Iterator[str]:
        pdfs = [path for path in self.folder.glob("*.pdf") if not path.name.startswith(".")]
        for path in pdfs:
            data = path.read_bytes()
            if not (data.startswith(b"%PDF") and data.rstrip().endswith(b"%%EOF")):
                yield f"{path.name} is not whole: {len(data)} bytes"
        if night.succeeded and len(pdfs) != 1:
            yield f"the task succeeded, and there are {len(pdfs)} files"


class ExportWorkbooks(ExportWorkbook):
    def arguments(self, night: Night) -> dict[str, Any]:
        return {"workbooks": [PIPELINE], "destination": f"file://{self.folder}"}


# ------------------------------------------------------------------------------------------------ done when OAC answers


def catalog(universe: Universe, **wanted: str) -> list[dict[str, Any]]:
    """The items of the catalog whose members are so."""
    return [item for item in content(universe)["catalog"] if wanted.items() <= item.items()]


def not_one(there: list[Any], night: Night) -> bool:
    """Whether there are several, or none after a success."""
    return len(there) > 1 or (night.succeeded and not there)


class CreateFolder(Scenario, path=f"{SALES}/New"):
    def judge(self, universe: Universe, night: Night) -> Iterator[str]:
        there = catalog(universe, type="folders", parent=SALES, name="New")
        if not_one(there, night):
            yield f"there are {len(there)} folders"


class CopyCatalogItem(Scenario, catalog_type="workbooks", path=PIPELINE, to_folder_path=FINANCE):
    source: ClassVar[int] = 1

    def judge(self, universe: Universe, night: Night) -> Iterator[str]:
        found = Counter(item["parent"] for item in catalog(universe, type="workbooks", name="Pipeline"))
        source, target = found[SALES], found[FINANCE]
        if source + target not in (1, 1 + self.source) or target > 1:
            yield f"{source} workbooks at the source, {target} at the target"
        if night.succeeded and (source, target) != (self.source, 1):
            yield f"the task succeeded with {source} at the source, {target} at the target"

    def final(self, night: Night) -> bool:
        # An order whose answer was lost may be done; the one after a Clear finds it done already.
        return len(night.orders) > 1


class MoveCatalogItem(CopyCatalogItem):
    source = 0


class DeleteFolder(Scenario, path=SALES, recursive=True, missing_ok=True):
    def judge(self, universe: Universe, night: Night) -> Iterator[str]:
        left = [item["plain"] for item in catalog(universe) if item["plain"].startswith(SALES)]
        if night.succeeded and left:
            yield f"the task succeeded, and there is {left}"
        if not catalog(universe, plain=FINANCE):
            yield "another folder is gone"


class ChangeOwner(Scenario, catalog_type="workbooks", path=PIPELINE, new_owner=AUTHOR):
    def judge(self, universe: Universe, night: Night) -> Iterator[str]:
        (item,) = catalog(universe, plain=PIPELINE)
        if night.succeeded and item["owner"] != AUTHOR:
            yield f"the task succeeded, and the owner is {item['owner']}"


class UpdateACL(Scenario, catalog_type="folders", path=FINANCE, entries=[READER]):
    def judge(self, universe: Universe, night: Night) -> Iterator[str]:
        (item,) = catalog(universe, plain=FINANCE)
        mine = [entry for entry in item["acl"] if entry["accountGuid"] == COLLEAGUE]
        if not_one(mine, night):
            yield f"the account has {len(mine)} entries"
        if len(item["acl"]) - len(mine) != 2:
            yield "other entries changed"


class _Connection(Scenario):
    """A data source's connection."""

    def prepare(self, universe: Universe) -> None:
        universe.connection("warehouse", {"conn_type": "generic", "login": "LOADER", "password": "Warehouse-Secret-9"})


class CreateConnection(_Connection, data_source_conn_id="warehouse", **WAREHOUSE):
    def judge(self, universe: Universe, night: Night) -> Iterator[str]:
        there = catalog(universe, type="connections", name="Warehouse")
        if not_one(there, night):
            yield f"there are {len(there)} connections"


class UpdateConnection(_Connection, data_source_conn_id="warehouse", connection="'admin'.'ADW'"):
    def judge(self, universe: Universe, night: Night) -> Iterator[str]:
        (item,) = catalog(universe, type="connections", name="ADW")
        if night.succeeded and item["definition"].get("username") != "LOADER":
            yield "the task succeeded, and the connection has its former user"


class DeleteConnection(_Connection, connection="'admin'.'ADW'", missing_ok=True):
    def judge(self, universe: Universe, night: Night) -> Iterator[str]:
        if night.succeeded and catalog(universe, type="connections", name="ADW"):
            yield "the task succeeded, and the connection is there"


class SystemSettings(Scenario, template_oac_conn_id="oac_prod"):
    def prepare(self, universe: Universe) -> None:
        prod = content(universe, "prod")
        settings = {**prod["settings"], "EmailMaxRecipients": "7"}
        universe.oac.world.content.put("prod", {**prod, "settings": settings})

    def judge(self, universe: Universe, night: Night) -> Iterator[str]:
        settings = content(universe)["settings"]
        if night.succeeded and settings != content(universe, "prod")["settings"]:
            yield f"the task succeeded with {json.dumps(settings)}"


class SafeDomains(SystemSettings, domains={"example.com": ["img-src"]}):
    def judge(self, universe: Universe, night: Night) -> Iterator[str]:
        if night.succeeded and "example.com" not in content(universe)["safeDomains"]:
            yield "the task succeeded, and the domain is not there"


MAIL_SERVER = {
    "host": "smtp.example.com", "port": 587, "sender": {"displayName": "OAC", "emailAddress": "oac@example.com"},
    "connectionSecurity": "START_TLS_CONNECTION_SECURITY",
}  # fmt: skip


class MailServer(Scenario, server=MAIL_SERVER, mail_conn_id="mail"):
    """The settings with a secret, which is sent on each run."""

    def prepare(self, universe: Universe) -> None:
        universe.connection("mail", {"conn_type": "smtp", "login": "oac-mail", "password": "Mail-Secret-9"})

    def judge(self, universe: Universe, night: Night) -> Iterator[str]:
        mail, digest = content(universe)["mail"], hashlib.sha256(b"Mail-Secret-9").hexdigest()
        if night.succeeded and not (mail and mail["host"] == "smtp.example.com" and digest in mail["auth"].values()):
            yield f"the task succeeded, and the mail server is {json.dumps(mail)}"


class DeleteSnapshot(Scenario):
    """One snapshot goes with its file, and no other one."""

    #: Numbers of those that are to go.
    gone: ClassVar[tuple[int, ...]] = (1,)

    def prepare(self, universe: Universe) -> None:
        self.made = [_archived(universe, "dev", number) for number in range(4)]

    def arguments(self, night: Night) -> dict[str, Any]:
        return {"snapshot_id": self.made[1]["snapshot_id"], "missing_ok": True, "delete_storage": True}

    def judge(self, universe: Universe, night: Night) -> Iterator[str]:
        world = universe.oac.world
        for number, one in enumerate(self.made):
            listed = world.snapshots.get(one["snapshot_id"]) is not None
            file = (world.bucket_dir / "oac-backups" / one["bar_uri"].removeprefix("file:///")).exists()
            if number not in self.gone and not (listed and file):
                yield f"snapshot {number} was to stay: listed {listed}, file {file}"
            if number in self.gone and night.succeeded and (listed or file):
                yield f"snapshot {number} was to go: listed {listed}, file {file}"


class PruneSnapshots(DeleteSnapshot):
    gone = (2, 3)

    def arguments(self, night: Night) -> dict[str, Any]:
        return {"snapshot_label": "nightly", "bucket": "oac-backups", "keep_last": 2}
