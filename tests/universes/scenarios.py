"""The operators that start or change something: what each is given, and how what came of it is judged."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.snapshot_names import SnapshotName, parse, task_mark
from oac_simulator.oac.bar import is_bar, seal
from oac_simulator.oac.snapshot_rules import bar_path
from tests.universes.chance import Chance

if TYPE_CHECKING:
    from tests.universes.night import Night, Order
    from tests.universes.oac import SimulatedOac
    from tests.universes.universe import Universe

SCENARIOS: dict[str, type[Scenario]] = {}


class Scenario:
    """An operator in the universes."""

    name: ClassVar[str] = ""
    #: Whether there may be two tasks with it at a time.
    several: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        if "name" in vars(cls):
            SCENARIOS[cls.name] = cls

    @classmethod
    def settings(cls, chance: Chance) -> dict[str, Any]:
        """Settings of the simulator."""
        return {}

    #: Where the operator is, in the package.
    module: ClassVar[str] = ""
    #: Whether it waits for work, so that it may be deferred.
    waits: ClassVar[bool] = False

    def prepare(self, universe: Universe) -> None:
        """What there is before the night."""

    def arguments(self, night: Night) -> dict[str, Any]:
        """What the operator is given."""
        return {}

    def operator(self, night: Night) -> Any:
        """The operator, made anew for each process."""
        waits = {"deferrable": night.universe.plan.deferrable} if self.waits else {}
        kind = getattr(import_module(f"airflow_provider_oac.operators.{self.module}"), self.name)
        return kind(task_id=night.task_id, retries=2, **waits, **self.arguments(night))

    def judge(self, universe: Universe, night: Night) -> None:
        """Say what is wrong with what came of a night."""

    def final(self, night: Night) -> bool:
        """Whether the task rightly ends as it did, although it failed."""
        return False


class CreateSnapshot(Scenario):
    """A backup."""

    name, module, waits = "OACCreateSnapshotOperator", "snapshots", True

    @classmethod
    def settings(cls, chance: Chance) -> dict[str, Any]:
        return {"failed_listing": ("drop", "keep")[int(2 * chance.random("plan failed listing"))]}

    def arguments(self, night: Night) -> dict[str, Any]:
        return {"snapshot_label": "nightly", "bucket": "oac-backups", "seal_conn_id": "oac_seal"}

    def judge(self, universe: Universe, night: Night) -> None:
        world = universe.oac.world
        mine = {order: _mark(night, order) for order in night.orders}
        marks = [parse(item["name"]) for item in world.snapshots]
        good = [
            item for item in world.snapshots
            if item["state"] == "SUCCEEDED" and (name := parse(item["name"])) and name.mark in mine.values()
        ]  # fmt: skip
        assert all(marks)
        if len({item["uri"] for item in world.snapshots}) != len(world.snapshots):
            universe.complain("two snapshots have one file")
        for number, order in enumerate(night.orders):
            taken = [item["name"] for item in good if f"--{mine[order]}" in item["name"]]
            if len(taken) > 1:
                universe.complain(f"order {number} of {night.task_id} has {len(taken)} snapshots: {', '.join(taken)}")
            for result in order.results:
                self._judge_result(universe, result, set(mine.values()))

    def _judge_result(self, universe: Universe, result: Any, mine: set[str]) -> None:
        found = next((item for item in universe.oac.world.snapshots if item["name"] == result["name"]), None)
        name = parse(result["name"])
        if name is None or name.mark not in mine:
            universe.complain(f"a snapshot of another order was adopted: {result['name']}")
        if result["verified"]:
            if found is None or found["state"] != "SUCCEEDED":
                universe.complain(f"{result['name']} is said to be verified, but is {found and found['state']}")
            elif not is_bar(bar_path(universe.oac.world, found).read_bytes()):
                universe.complain(f"the file of {result['name']} is not whole")
            elif result["snapshot_id"] != found["id"]:
                universe.complain(f"the result of {result['name']} has another id")


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
    path.write_bytes(seal(world.content.get(source) or {}, source, SEAL_PASSWORD))
    return {
        "snapshot_id": record["id"], "name": record["name"], "bar_uri": record["uri"], "bucket": "oac-backups",
        "seal": "oac_seal", "source_instance": source, "taken_at": when.isoformat(), "work_request_id": None,
        "verified": True,
    }  # fmt: skip


class RegisterSnapshot(Scenario):
    """A backup's file is made known to another instance."""

    name, module, waits, several = "OACRegisterSnapshotOperator", "snapshots", True, False

    def prepare(self, universe: Universe) -> None:
        self.backup = _archived(universe, "dev", 1)

    def arguments(self, night: Night) -> dict[str, Any]:
        return {"oac_conn_id": "oac_prod", "snapshot": self.backup}

    def judge(self, universe: Universe, night: Night) -> None:
        good = [
            item for item in universe.oac.world.snapshots
            if item["instance"] == "prod" and item["uri"] == self.backup["bar_uri"] and item["state"] == "SUCCEEDED"
        ]  # fmt: skip
        # OAC's list does not show whether a registration is complete, and a result says so.
        verified = all(result["verified"] for order in night.orders for result in order.results)
        if len(good) > 1 or (night.state == "success" and verified and len(good) != 1):
            universe.complain(f"the file is registered {len(good)} times")
        for order in night.orders:
            for result in order.results:
                if result["verified"] and result["snapshot_id"] not in {item["id"] for item in good}:
                    universe.complain(f"the result names another snapshot: {result['snapshot_id']}")


class RestoreSnapshot(Scenario):
    """A restore, which is never sent twice."""

    name, module, waits, several = "OACRestoreSnapshotOperator", "restore", True, False

    @classmethod
    def settings(cls, chance: Chance) -> dict[str, Any]:
        return {"restore_outage": chance.random("plan outage") < 0.3}

    def prepare(self, universe: Universe) -> None:
        self.backup = _archived(universe, "prod", 1, of="dev")
        self.safe = universe.chance.random("plan safety") < 0.5

    def arguments(self, night: Night) -> dict[str, Any]:
        first = {"safety_bucket": "oac-backups", "safety_seal_conn_id": "oac_seal"}
        return {
            "oac_conn_id": "oac_prod",
            "expected_host": "prod.example.com",
            "snapshot": self.backup,
            **(first if self.safe else {"without_safety_snapshot": True}),
        }

    def judge(self, universe: Universe, night: Night) -> None:
        sent = [work for work in universe.oac.world.work_requests if work["operation"] == "RESTORE_SNAPSHOT"]
        good = [work for work in sent if work["status"] == "SUCCEEDED"]
        if len(good) > 1:
            universe.complain(f"{len(good)} restores succeeded")
        if night.state == "success" and not good:
            universe.complain("the task succeeded, and nothing was restored")
        if self.safe and sent:
            before = [
                item for item in universe.oac.world.snapshots
                if item["name"].startswith("before-restore--") and item["state"] == "SUCCEEDED"
            ]  # fmt: skip
            if not any(item["created"] <= min(work["accepted"] for work in sent) for item in before):
                universe.complain("a restore was sent without a safety snapshot")

    def final(self, night: Night) -> bool:
        # What may have been sent is not sent again, and a Clear needs another approval.
        return bool(night.universe.chance.events)


# --------------------------------------------------------------------------------------------------------------- runs


class _Run(Scenario):
    """Something is run once for each order."""

    waits, several = True, False
    plain: ClassVar[str] = ""

    def jobs(self, universe: Universe) -> list[dict[str, Any]]:
        """Those that did not fail."""
        world = universe.oac.world
        return [
            job for job in world.jobs
            if job["plain"] == self.plain and world.work_requests.get(job["work_request"])["status"] == "SUCCEEDED"
        ]  # fmt: skip

    def judge(self, universe: Universe, night: Night) -> None:
        jobs = self.jobs(universe)
        if len(jobs) > len(night.orders):
            universe.complain(f"{len(jobs)} runs for {len(night.orders)} orders")
        if night.state == "success" and not jobs:
            universe.complain("the task succeeded, and nothing ran")
        known = {job["work_request"] for job in jobs} | {job["id"] for job in jobs}
        for order in night.orders:
            for result in order.results:
                told = result["work_request_id"] or result["job_id"]
                if told not in known:
                    universe.complain(f"the result names another run: {told}")


class ReloadDataset(_Run):
    name, module, plain = "OACReloadDatasetOperator", "runs", "'admin'.'Orders'"

    def arguments(self, night: Night) -> dict[str, Any]:
        return {"dataset": self.plain}


class RunDataFlow(_Run):
    name, module, plain = "OACRunDataFlowOperator", "runs", "'admin'.'Load Orders'"

    def arguments(self, night: Night) -> dict[str, Any]:
        return {"data_flow": self.plain}


class RunSequence(_Run):
    name, module, plain = "OACRunSequenceOperator", "runs", "'admin'.'Nightly'"

    def arguments(self, night: Night) -> dict[str, Any]:
        return {"sequence": self.plain}


class AnyCall(_Run):
    """Any call that starts work: with a store it is never sent twice; without one each try sends it."""

    name, module, plain = "OACApiOperator", "api", "'admin'.'Load Orders'"

    def arguments(self, night: Night) -> dict[str, Any]:
        path = f"/catalog/dataflows/{ids.object_id('admin', 'Load Orders')}/actions/run"
        return {"method": "POST", "path": path, "wait_for_completion": True}

    def judge(self, universe: Universe, night: Night) -> None:
        jobs, most = self.jobs(universe), len(night.orders) if night.remembers else night.try_number
        if len(jobs) > most:
            universe.complain(f"{len(jobs)} runs for {len(night.orders)} orders and {night.try_number} tries")
        if night.state == "success" and not jobs:
            universe.complain("the task succeeded, and nothing ran")

    def final(self, night: Night) -> bool:
        return bool(night.universe.chance.events)


# ------------------------------------------------------------------------------------------------------------- exports


class ExportWorkbook(Scenario):
    """A file that is whole or not there."""

    name, module, waits, several = "OACExportWorkbookOperator", "workbooks", True, False

    def arguments(self, night: Night) -> dict[str, Any]:
        folder = night.universe.folder / "out"
        folder.mkdir(exist_ok=True)
        return {"workbook_path": "/@Catalog/shared/Sales/Pipeline", "destination": f"file://{folder}/board.pdf"}

    def judge(self, universe: Universe, night: Night) -> None:
        files = [path for path in (universe.folder / "out").glob("*") if not path.name.startswith(".")]
        for path in files:
            data = path.read_bytes()
            if path.suffix == ".pdf" and not (data.startswith(b"%PDF") and data.rstrip().endswith(b"%%EOF")):
                universe.complain(f"{path.name} is not whole: {len(data)} bytes")
        pdfs = sum(path.suffix == ".pdf" for path in files)
        if night.state == "success" and pdfs != 1:
            universe.complain(f"the task succeeded, and there are {pdfs} files")


class ExportWorkbooks(ExportWorkbook):
    name = "OACExportWorkbooksOperator"

    def arguments(self, night: Night) -> dict[str, Any]:
        (night.universe.folder / "out").mkdir(exist_ok=True)
        return {"workbooks": ["/@Catalog/shared/Sales/Pipeline"], "destination": f"file://{night.universe.folder}/out"}


# ------------------------------------------------------------------------------------------------ done when OAC answers


class _Catalog(Scenario):
    """Something in the catalog is to be so."""

    several = False

    def catalog(self, oac: SimulatedOac, instance: str = "dev") -> list[dict[str, Any]]:
        """What there is."""
        content = oac.world.content.get(instance) or {}
        items: list[dict[str, Any]] = content["catalog"]
        return items

    def there(self, universe: Universe) -> Counter[tuple[str, str]]:
        """How many items of a type and name lie where."""
        return Counter((item["type"], f"{item['parent']}/{item['name']}") for item in self.catalog(universe.oac))

    def final(self, night: Night) -> bool:
        # An order whose answer was lost may be done; the one after a Clear finds it done already.
        return len(night.orders) > 1


SALES, FINANCE = "/@Catalog/shared/Sales", "/@Catalog/shared/Finance"


class CreateFolder(_Catalog):
    name, module = "OACCreateFolderOperator", "catalog"

    def arguments(self, night: Night) -> dict[str, Any]:
        return {"path": f"{SALES}/New"}

    def judge(self, universe: Universe, night: Night) -> None:
        there = self.there(universe)["folders", f"{SALES}/New"]
        if there > 1 or (night.state == "success" and there != 1):
            universe.complain(f"there are {there} folders")

    def final(self, night: Night) -> bool:
        return False


class CopyItem(_Catalog):
    name, module = "OACCopyCatalogItemOperator", "catalog"
    source: ClassVar[int] = 1

    def arguments(self, night: Night) -> dict[str, Any]:
        return {"catalog_type": "workbooks", "path": f"{SALES}/Pipeline", "to_folder_path": FINANCE}

    def judge(self, universe: Universe, night: Night) -> None:
        there = self.there(universe)
        source, target = there["workbooks", f"{SALES}/Pipeline"], there["workbooks", f"{FINANCE}/Pipeline"]
        if source + target not in (1, 1 + self.source) or target > 1:
            universe.complain(f"{source} workbooks at the source, {target} at the target")
        if night.state == "success" and (source, target) != (self.source, 1):
            universe.complain(f"the task succeeded with {source} at the source, {target} at the target")


class MoveItem(CopyItem):
    name, source = "OACMoveCatalogItemOperator", 0


class DeleteFolder(_Catalog):
    name, module = "OACDeleteFolderOperator", "catalog"

    def arguments(self, night: Night) -> dict[str, Any]:
        return {"path": SALES, "recursive": True, "missing_ok": True}

    def judge(self, universe: Universe, night: Night) -> None:
        left = [item["plain"] for item in self.catalog(universe.oac) if item["plain"].startswith(SALES)]
        if night.state == "success" and left:
            universe.complain(f"the task succeeded, and there is {left}")
        if not any(item["plain"] == FINANCE for item in self.catalog(universe.oac)):
            universe.complain("another folder is gone")

    def final(self, night: Night) -> bool:
        return False


class ChangeOwner(_Catalog):
    name, module = "OACChangeOwnerOperator", "catalog"

    def arguments(self, night: Night) -> dict[str, Any]:
        new = "oac.author@example.com"
        return {"catalog_type": "workbooks", "path": f"{SALES}/Pipeline", "new_owner": new}

    def judge(self, universe: Universe, night: Night) -> None:
        (item,) = [item for item in self.catalog(universe.oac) if item["plain"] == f"{SALES}/Pipeline"]
        if night.state == "success" and item["owner"] != "oac.author@example.com":
            universe.complain(f"the task succeeded, and the owner is {item['owner']}")

    def final(self, night: Night) -> bool:
        return False


class UpdateACL(ChangeOwner):
    name, module = "OACUpdateACLOperator", "acl"

    def arguments(self, night: Night) -> dict[str, Any]:
        entries = [{"account": "oac.colleague@example.com", "permissions": ["read"]}]
        return {"catalog_type": "folders", "path": FINANCE, "entries": entries}

    def judge(self, universe: Universe, night: Night) -> None:
        (item,) = [item for item in self.catalog(universe.oac) if item["plain"] == FINANCE]
        mine = [entry for entry in item["acl"] if entry["accountGuid"] == "oac.colleague@example.com"]
        if len(mine) > 1 or (night.state == "success" and len(mine) != 1):
            universe.complain(f"the account has {len(mine)} entries")
        if len(item["acl"]) - len(mine) != 2:
            universe.complain("other entries changed")


class _Connection(_Catalog):
    """A data source's connection."""

    module = "connections"

    def prepare(self, universe: Universe) -> None:
        universe.connection("warehouse", {"conn_type": "generic", "login": "LOADER", "password": "Warehouse-Secret-9"})

    def named(self, universe: Universe, name: str) -> list[dict[str, Any]]:
        """Connections of a name."""
        return [item for item in self.catalog(universe.oac) if (item["type"], item["name"]) == ("connections", name)]

    def final(self, night: Night) -> bool:
        return False


class CreateConnection(_Connection):
    name = "OACCreateConnectionOperator"

    def arguments(self, night: Night) -> dict[str, Any]:
        return {
            "data_source_conn_id": "warehouse",
            "connection_name": "Warehouse",
            "connection_type": "postgresql",
            "connection_params": {"host": "db.example.com", "port": "5432"},
            "if_exists": "update",
        }

    def judge(self, universe: Universe, night: Night) -> None:
        there = len(self.named(universe, "Warehouse"))
        if there > 1 or (night.state == "success" and there != 1):
            universe.complain(f"there are {there} connections")


class UpdateConnection(_Connection):
    name = "OACUpdateConnectionOperator"

    def arguments(self, night: Night) -> dict[str, Any]:
        return {"data_source_conn_id": "warehouse", "connection": "'admin'.'ADW'"}

    def judge(self, universe: Universe, night: Night) -> None:
        (item,) = self.named(universe, "ADW")
        if night.state == "success" and item["definition"].get("username") != "LOADER":
            universe.complain("the task succeeded, and the connection has its former user")


class DeleteConnection(_Connection):
    name = "OACDeleteConnectionOperator"

    def arguments(self, night: Night) -> dict[str, Any]:
        return {"connection": "'admin'.'ADW'", "missing_ok": True}

    def judge(self, universe: Universe, night: Night) -> None:
        if night.state == "success" and self.named(universe, "ADW"):
            universe.complain("the task succeeded, and the connection is there")


_START_TLS = "START_TLS_CONNECTION_SECURITY"


class SystemSettings(_Catalog):
    name, module = "OACSystemSettingsOperator", "system"

    def prepare(self, universe: Universe) -> None:
        world = universe.oac.world
        content = world.content.get("prod") or {}
        world.content.put("prod", {**content, "settings": {**content["settings"], "EmailMaxRecipients": "7"}})

    def arguments(self, night: Night) -> dict[str, Any]:
        return {"template_oac_conn_id": "oac_prod"}

    def judge(self, universe: Universe, night: Night) -> None:
        kept = {name: universe.oac.world.content.get(name) or {} for name in ("dev", "prod")}
        if night.state == "success" and kept["dev"]["settings"] != kept["prod"]["settings"]:
            universe.complain(f"the task succeeded with {json.dumps(kept['dev']['settings'])}")

    def final(self, night: Night) -> bool:
        return False


class SafeDomains(SystemSettings):
    name = "OACSafeDomainsOperator"

    def arguments(self, night: Night) -> dict[str, Any]:
        return {"domains": {"example.com": ["img-src"]}}

    def judge(self, universe: Universe, night: Night) -> None:
        content = universe.oac.world.content.get("dev") or {}
        if night.state == "success" and "example.com" not in content["safeDomains"]:
            universe.complain("the task succeeded, and the domain is not there")


class MailServer(SystemSettings):
    """The settings with a secret, which is sent on each run."""

    name = "OACMailServerOperator"

    def prepare(self, universe: Universe) -> None:
        universe.connection("mail", {"conn_type": "smtp", "login": "oac-mail", "password": "Mail-Secret-9"})

    def arguments(self, night: Night) -> dict[str, Any]:
        sender = {"displayName": "OAC", "emailAddress": "oac@example.com"}
        server = {"host": "smtp.example.com", "port": 587, "sender": sender, "connectionSecurity": _START_TLS}
        return {"server": server, "mail_conn_id": "mail"}

    def judge(self, universe: Universe, night: Night) -> None:
        mail = (universe.oac.world.content.get("dev") or {})["mail"]
        if night.state != "success":
            return
        digest = hashlib.sha256(b"Mail-Secret-9").hexdigest()
        if not mail or mail["host"] != "smtp.example.com" or digest not in mail["auth"].values():
            universe.complain(f"the task succeeded, and the mail server is {json.dumps(mail)}")


class DeleteSnapshot(Scenario):
    """One snapshot goes with its file, and no other one."""

    name, module, several = "OACDeleteSnapshotOperator", "snapshots", False

    def prepare(self, universe: Universe) -> None:
        self.made = [_archived(universe, "dev", number) for number in range(4)]

    def arguments(self, night: Night) -> dict[str, Any]:
        return {"snapshot_id": self.made[1]["snapshot_id"], "missing_ok": True, "delete_storage": True}

    def gone(self, universe: Universe, night: Night) -> list[int]:
        """Numbers of those that are to go."""
        return [1]

    def judge(self, universe: Universe, night: Night) -> None:
        world, gone = universe.oac.world, self.gone(universe, night)
        for number, one in enumerate(self.made):
            listed = world.snapshots.get(one["snapshot_id"]) is not None
            file = (world.bucket_dir / "oac-backups" / one["bar_uri"].removeprefix("file:///")).exists()
            if number not in gone and not (listed and file):
                universe.complain(f"snapshot {number} was to stay: listed {listed}, file {file}")
            if number in gone and night.state == "success" and (listed or file):
                universe.complain(f"snapshot {number} was to go: listed {listed}, file {file}")


class PruneSnapshots(DeleteSnapshot):
    name = "OACPruneSnapshotsOperator"

    def arguments(self, night: Night) -> dict[str, Any]:
        return {"snapshot_label": "nightly", "bucket": "oac-backups", "keep_last": 2}

    def gone(self, universe: Universe, night: Night) -> list[int]:
        return [2, 3]
