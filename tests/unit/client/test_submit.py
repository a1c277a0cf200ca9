"""Submit once, for every kind of work: what is remembered, what is taken back, and which try may send."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.flows.catalog_changes import Copy, Move, NewFolder, Place
from airflow_provider_oac.client.flows.create_connection import NewConnection
from airflow_provider_oac.client.flows.create_snapshot import NewSnapshot, SnapshotOrder
from airflow_provider_oac.client.flows.register_snapshot import Registration
from airflow_provider_oac.client.flows.restore import Restore
from airflow_provider_oac.client.flows.start_run import Run
from airflow_provider_oac.client.flows.submit import Attempts, Submission, submit_once
from airflow_provider_oac.client.rest import datasets
from airflow_provider_oac.client.rest.connections import ConnectionOrder
from airflow_provider_oac.client.rest.snapshots import Storage
from airflow_provider_oac.client.snapshot_names import task_mark
from airflow_provider_oac.exceptions import OACError, OACSupersededError
from airflow_provider_oac.operators.task_state import TaskRecord, TaskState
from airflow_provider_oac.transport.io import Request
from tests.manual import Answer, ManualIO, response, unreachable
from tests.tasks import StateStore, TaskInstance
from tests.unit.client.snapshot_lists import listing
from tests.unit.client.worlds import answering, asked, run

DATASET, FOLDER = ids.object_id("admin", "Orders"), ids.catalog_id("/@Catalog/shared/Sales")
BOOK = ids.catalog_id("/@Catalog/shared/Sales/Board")
PARAMS = {"connectionType": "mysql", "username": "u", "password": "p"}
ORDER = SnapshotOrder("nightly", "prod", "seal", task_mark("d", "r", "t", -1, 1), "f", Storage("b"))
KINDS: dict[str, Callable[..., Submission[Any, Any]]] = {
    "snapshot": lambda **more: NewSnapshot(ORDER, "Correct-Horse-7-Battery", **more),
    "registration": lambda **more: Registration("file:///f/x.bar", Storage("b"), **more),
    "run": lambda **more: Run(datasets.runnable(DATASET), datasets.reload(DATASET), **more),
    "connection": lambda **more: NewConnection(ConnectionOrder("CRM", PARAMS), "jane", **more),
    "folder": lambda **more: NewFolder(FOLDER, "New", **more),
    "copy": lambda **more: Copy("workbooks", BOOK, Place(FOLDER, "New"), **more),
    "move": lambda **more: Move("workbooks", BOOK, Place(FOLDER, "New"), **more),
    "restore": lambda **more: Restore("id", "password", "host", **more),
}
BODY = {"workRequestId": "w:1", "connectionId": "c", "id": BOOK, "name": "New", "type": "workbooks"}
ACCEPTED = response(202, json.dumps(BODY), {"oa-work-request-id": "w:1"})
every_kind = pytest.mark.parametrize("kind", KINDS)


class SleepyIO(ManualIO):
    """One whose first long sleep lets others act."""

    api: Api

    async def nothing(self) -> None: ...

    on_long_sleep: Callable[[], Awaitable[None]] = nothing

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if seconds >= 100:
            others, self.on_long_sleep = self.on_long_sleep, self.nothing
            await others()


class World:
    """An OAC that has only the workbook to be copied.

    :param posts: its answers to what changes something.
    """

    def __init__(self, *posts: Answer) -> None:
        self.posts = list(posts)
        self.snapshots: list[str] = []
        self.notes: list[str] = []
        self.io: ManualIO = answering(self.answer, SleepyIO)

    def answer(self, _age: float, request: Request) -> Answer:
        if request.method == "POST":
            answer = self.posts.pop(0)
            if answer is ACCEPTED and request.url.endswith("/snapshots"):
                self.snapshots.append(json.loads(request.body or b"")["name"])
            return answer
        if request.url.endswith(f"/{BOOK}"):
            return response(200, json.dumps({"id": BOOK, "name": "Board", "type": "workbooks"}))
        if request.url.split("?")[0].endswith("/snapshots"):
            return listing(*self.snapshots)
        if "/catalog/workbooks" in request.url or "/catalog/folders/" in request.url:
            return response(404, '{"code": "NotFound"}')
        return response(200, "[]")

    def submit(self, kind: str, task: Attempts | None = None, **more: Any) -> Any:
        noting = Attempts(lambda _clue: self.notes.append("remember"), lambda: self.notes.append("take back"))
        flow = submit_once(KINDS[kind](**more), task or noting)

        async def whole(api: Api) -> Any:
            self.io.api = api  # type: ignore[attr-defined]
            return await flow(api)

        return run(self.io, whole)

    @property
    def sent(self) -> int:
        return len(asked(self.io, "POST"))


REFUSED = {
    **{str(status): response(status, headers={"retry-after": "999"}) for status in (400, 403, 409, 429)},
    "not sent": unreachable(sent=False, passing=False),
}


@every_kind
@pytest.mark.parametrize("answer", REFUSED.values(), ids=REFUSED)
def test_what_oac_certainly_did_not_act_on_is_taken_back_and_not_searched(kind: str, answer: Answer) -> None:
    world = World(answer)
    with pytest.raises(OACError):
        world.submit(kind)
    assert world.notes == ["remember", "take back"]
    assert world.io.slept == []


@every_kind
@pytest.mark.parametrize(
    "answers",
    [[unreachable(sent=True)] * 3, [response(503)] * 3, [response(200, "<html>")] * 3, [response(503), response(400)]],
    ids=["lost", "503", "a page", "a refusal after a lost response"],
)
def test_what_oac_may_have_acted_on_stays_remembered(kind: str, answers: list[Answer]) -> None:
    world = World(*answers)
    with pytest.raises(OACError):
        world.submit(kind, confirmation_timeout=0.0)
    assert "take back" not in world.notes
    assert world.sent == min(len(answers), KINDS[kind]().sends)


def memory(store: StateStore, try_number: int) -> TaskState:
    return TaskState({"ti": TaskInstance("a_task", try_number, 2), "task_state_store": store})


@every_kind
def test_a_try_that_was_replaced_while_it_slept_sends_nothing(kind: str) -> None:
    """OAC asks to come back in 100 s, the supervisor is killed, try 2 starts and sends, try 1 wakes."""
    store, world = StateStore(), World(response(429, "", {"retry-after": "100"}), ACCEPTED)
    first, second = memory(store, 1), memory(store, 2)
    first.claim()
    results = []

    async def replaced() -> None:
        second.claim()
        results.append(await submit_once(KINDS[kind](), second.attempts())(world.io.api))

    world.io.on_long_sleep = replaced
    with pytest.raises(OACSupersededError, match="Try 1 of task 'a_task' sends nothing more: another try"):
        world.submit(kind, first.attempts())
    assert (world.sent, len(results)) == (2, 1)
    # Nor does it touch what the other remembers.
    assert second.of_this_order() == TaskRecord(2, sending=True)


def test_a_store_that_cannot_be_asked_is_no_permission_to_send() -> None:
    class Gone(StateStore):
        def get(self, key: str) -> Any:
            raise BrokenPipeError("the supervisor is gone")

    with pytest.raises(OACSupersededError, match=r"Airflow does not say .*the supervisor is gone"):
        memory(Gone(), 1).check_current()


def test_an_item_with_an_opaque_id_is_found_where_it_was_moved_to_although_the_response_was_lost() -> None:
    item = {"id": "opaque", "name": "Board", "type": "reports", "parentId": ids.catalog_id("/@Catalog/shared/Old")}
    moved = ids.catalog_id("/@Catalog/shared/Sales/Board")
    at = {"opaque": item}

    def answer(_age: float, request: Request) -> Answer:
        if request.method == "POST":
            at[moved] = {**at.pop("opaque"), "id": moved, "parentId": FOLDER}
            return unreachable(sent=True)
        found = at.get(request.url.split("?")[0].rpartition("/")[2])
        return response(200, json.dumps(found)) if found else response(404, '{"code": "NotFound"}')

    result = run(answering(answer), submit_once(Move("reports", "opaque", Place(FOLDER))), [].append)
    assert result.item.id == moved
