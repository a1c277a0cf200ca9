"""The operators that start or change something: what each is given, and how what came of it is judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_oac.client.snapshot_names import parse, task_mark
from oac_simulator.oac.bar import is_bar
from oac_simulator.oac.snapshot_rules import bar_path
from tests.universes.chance import Chance

if TYPE_CHECKING:
    from tests.universes.night import Night, Order
    from tests.universes.universe import Universe

SCENARIOS: dict[str, type[Scenario]] = {}


class Scenario:
    """An operator in the universes."""

    name: ClassVar[str] = ""
    #: Whether there may be two tasks with it at a time.
    several: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        if cls.name:
            SCENARIOS[cls.name] = cls

    @classmethod
    def settings(cls, chance: Chance) -> dict[str, Any]:
        """Settings of the simulator."""
        return {}

    def prepare(self, universe: Universe) -> None:
        """What there is before the night."""

    def operator(self, night: Night) -> Any:
        """The operator, made anew for each process."""
        raise NotImplementedError

    def judge(self, universe: Universe, night: Night) -> None:
        """Say what is wrong with what came of a night."""

    def final(self, night: Night) -> bool:
        """Whether the task rightly ends as it did, although it failed."""
        return False


def waits(universe: Universe) -> dict[str, Any]:
    """Arguments of an operator that waits."""
    return {"deferrable": universe.plan.deferrable}


class CreateSnapshot(Scenario):
    """A backup."""

    name = "OACCreateSnapshotOperator"

    @classmethod
    def settings(cls, chance: Chance) -> dict[str, Any]:
        return {"failed_listing": ("drop", "keep")[int(2 * chance.random("plan failed listing"))]}

    def operator(self, night: Night) -> Any:
        from airflow_provider_oac.operators.snapshots import OACCreateSnapshotOperator

        return OACCreateSnapshotOperator(
            task_id=night.task_id,
            retries=2,
            snapshot_label="nightly",
            bucket="oac-backups",
            seal_conn_id="oac_seal",
            **waits(night.universe),
        )

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
