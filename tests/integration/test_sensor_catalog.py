"""OACCatalogItemSensor, in a worker (poke and reschedule) and in the triggerer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_oac._compat import AirflowSensorTimeout, AirflowSkipException
from airflow_provider_oac.client import ids
from airflow_provider_oac.client.rest import catalog
from airflow_provider_oac.exceptions import OACApiError, OACError
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.sensors.catalog import OACCatalogItemSensor
from airflow_provider_oac.triggers.oac import OACCatalogItemTrigger
from oac_simulator.launch import Simulator
from tests.tasks import AUTHOR, Connections, Task, first_event, through_the_database

SALES = "/@Catalog/shared/Sales"
PIPELINE = f"{SALES}/Pipeline"
NEW = f"{SALES}/New"
LOOK = "GET /catalog/workbooks/{urlBase64WorkbookId}"
# The simulator's catalog was modified on 2026-01-05T08:00:00Z.
THEN = datetime(2026, 1, 5, 8, tzinfo=UTC)

pytestmark = pytest.mark.usefixtures("connections")


def waiting(**changes: Any) -> Task:
    arguments = {"catalog_type": "workbooks", "path": PIPELINE, "poke_interval": timedelta(seconds=0.05), "timeout": 20}
    return Task(lambda: OACCatalogItemSensor(task_id="wait", **{**arguments, **changes}))


def looks(**changes: Any) -> Any:
    sensor = OACCatalogItemSensor(task_id="look", **{"catalog_type": "workbooks", "path": PIPELINE, **changes})
    return sensor.poke({}).is_done


def copy(name: str = "New") -> None:
    OACHook().run(catalog.copy("workbooks", ids.catalog_id(PIPELINE), name=name))


def test_an_item_that_is_there_is_its_result(deferrable: bool) -> None:
    result = waiting(deferrable=deferrable).attempt()
    assert (result["path"], result["type"], result["name"]) == (PIPELINE, "workbooks", "Pipeline")


def test_a_trigger_that_fails_leaves_the_wait_to_the_worker() -> None:
    failed = {"error": "Trigger failure", "traceback": ["TypeError: no argument 'earlier'"]}
    assert waiting(deferrable=True).resume_by("__fail__", failed)["path"] == PIPELINE


@pytest.mark.parametrize(
    ("arguments", "there"),
    [
        ({}, True),
        ({"path": None, "item_id": ids.catalog_id(PIPELINE) + "=="}, True),
        ({"path": NEW}, False),
        ({"catalog_type": "folders"}, False),
        ({"catalog_type": "datasets", "path": "'admin'.'Orders'"}, True),
        ({"modified_since": THEN}, True),
        ({"modified_since": THEN.replace(tzinfo=None)}, True),
        ({"modified_since": "2026-01-05 08:00:00+00:00"}, True),
        ({"modified_since": "2026-01-05T08:00:00.001Z"}, False),
        ({"modified_since": "2026-01-05T09:30:00+01:00"}, False),
        ({"modified_since": datetime(2030, 1, 1)}, False),
    ],
)
def test_one_look(arguments: dict[str, Any], there: bool) -> None:
    assert looks(**arguments) is there


def test_the_triggerer_waits_until_it_comes(clean: Simulator) -> None:
    trigger = through_the_database(
        OACCatalogItemTrigger(
            oac_conn_id="oac_default",
            wanted={"kind": "workbooks", "item_id": ids.catalog_id(NEW)},
            deadline=None,
            poll_interval=0.05,
        )
    )

    async def both() -> Any:
        waits = asyncio.create_task(anext(trigger.run()))
        while clean.control.calls("dev", LOOK) < 3:
            await asyncio.sleep(0.05)
        assert not waits.done()
        await asyncio.to_thread(copy)
        return (await asyncio.wait_for(waits, 20)).payload

    assert asyncio.run(both()) == {"outcome": "ended", "message": "", "carried": None}


def test_a_modification_is_waited_for(deferrable: bool) -> None:
    since = datetime.now(UTC) - timedelta(hours=1)
    with pytest.raises(AirflowSensorTimeout):
        waiting(deferrable=deferrable, modified_since=since, timeout=0.2).attempt()
    copy()
    result = waiting(deferrable=deferrable, path=NEW, modified_since=since.isoformat()).attempt()
    assert result["name"] == "New"


def test_it_waits_trouble_out(clean: Simulator, deferrable: bool) -> None:
    clean.control.fault(LOOK, "truncate", times=2)
    assert waiting(deferrable=deferrable).attempt()["name"] == "Pipeline"


def test_what_stays_fails_at_once(connections: Connections, clean: Simulator, deferrable: bool) -> None:
    connections.oac(user=AUTHOR)
    board = "/@Catalog/shared/Board/Board Pack"
    with pytest.raises(OACApiError if not deferrable else OACError, match="permission read"):
        waiting(deferrable=deferrable, path=board).attempt()
    with pytest.raises(AirflowSkipException):
        waiting(deferrable=deferrable, path=board, never_fail=True).attempt()


@pytest.mark.parametrize("event", [None, {}, {"outcome": "gone"}, "x"])
def test_an_event_that_is_none_of_ours_is_an_error(event: Any) -> None:
    with pytest.raises(OACError, match="Unknown trigger event"):
        OACCatalogItemSensor(task_id="wait", catalog_type="workbooks", path=PIPELINE).execute_complete({}, event)


def test_the_trigger_tells_what_failed(connections: Connections) -> None:
    connections.oac(scope="")
    trigger = OACCatalogItemTrigger(
        oac_conn_id="oac_default",
        wanted={"kind": "workbooks", "item_id": ids.catalog_id(NEW)},
        deadline=None,
        poll_interval=0.05,
    )
    event = asyncio.run(first_event(trigger))
    assert event["outcome"] == "error"
    assert "The scope" in event["message"]
