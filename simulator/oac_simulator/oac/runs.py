"""Areas: Datasets, Data Flows and Sequences: starting runs, and the job history."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from oac_simulator.faults import Fault
from oac_simulator.ids import encoded
from oac_simulator.oac.api import STARTS_WORK, Call, CallHandler, OACError, Route, bad_request, not_found
from oac_simulator.oac.content import Item
from oac_simulator.oac.items import Catalog, decoded
from oac_simulator.oac.job_report import chosen, shown
from oac_simulator.replies import json_reply
from oac_simulator.store import Record
from oac_simulator.work import WorkFailed
from oac_simulator.world import ADMINISTRATOR, CONTENT_AUTHOR, World

_JOB_ALPHABET = "0123456789ABCDEF"
_PARAMETER_TYPES = ("source", "target", "cube")


@dataclass(frozen=True)
class Kind:
    """A type of item that can be run.

    :param type: the catalog type.
    :param parameter: name of the path parameter with the ID.
    :param action: last part of the path that starts a run.
    :param run_type: the `jobRunType`.
    :param operation: the `operationType`; documented for datasets only.
    :param resource_type: the `resourceType`; documented for datasets only.
    """

    type: str
    parameter: str
    action: str
    run_type: str
    operation: str
    resource_type: str


KINDS = (
    Kind("datasets", "datasetId", "reload", "DATASET", "RELOAD_DATASET", "DATASET"),
    Kind("dataflows", "dataflowId", "run", "DATAFLOW", "RUN_DATAFLOW", "DATAFLOW"),
    Kind("sequences", "sequenceId", "run", "SEQUENCE", "RUN_SEQUENCE", "SEQUENCE"),
)


def begin(
    world: World, instance: str, user: str, kind: Kind, thing: Item, *,
    origin: str = "Manual", fault: Fault | None = None, seconds: float | None = None,
) -> Record:  # fmt: skip
    """Start a run.

    :param world: the simulated world.
    :param instance: name of the instance.
    :param user: the user who starts it.
    :param kind: type of the item.
    :param thing: the item to run.
    :param origin: `Manual`, or `Schedule` for OAC's own schedules.
    :param fault: an injected fault of the call.
    :param seconds: duration of the run; None for the setting.
    :returns: the job; its `work_request` is the ID for the caller.
    """
    job_id = "".join(secrets.choice(_JOB_ALPHABET) for _ in range(32))
    work = {"kind": "run", "plain": thing["plain"], "job": job_id}
    work_id = world.work.start(
        instance, user, kind.operation, kind.resource_type, work, fault=fault, seconds=seconds
    )  # fmt: skip
    job = {
        "id": job_id, "instance": instance, "type": kind.type, "plain": thing["plain"], "name": thing["name"],
        "run_type": kind.run_type, "origin": origin, "work_request": work_id, "started": time.time(),
        "tasks": tasks_of(world, instance, kind.type, thing), "ok_tasks": None,
    }  # fmt: skip
    world.jobs.put(job_id, job)
    return job


def tasks_of(world: World, instance: str, kind: str, thing: Item) -> list[Record]:
    """Return the tasks of a run: one per table; for a sequence, those of its steps."""
    definition = thing["definition"]
    if kind != "sequences":
        source = definition.get("connection", "")
        return [
            {
                "name": table["name"], "rows": table.get("rows", 0), "bytes": table.get("bytes", 0),
                "source": source.rpartition("'.'")[2].strip("'"), "target": "OAC cache" if kind == "datasets" else "",
            }
            for table in definition.get("tables", [])
        ]  # fmt: skip
    catalog = (world.content.get(instance) or {"catalog": []})["catalog"]
    known = {item["plain"]: item for item in catalog if item["type"] == "dataflows"}
    steps = [known[plain] for plain in definition.get("steps", []) if plain in known]
    return [task for step in steps for task in tasks_of(world, instance, "dataflows", step)]


def running(world: World, instance: str, kind: str, plain: str) -> Record | None:
    """Return the running job of an item, if any."""
    for job in world.jobs:
        if job["instance"] == instance and job["type"] == kind and job["plain"] == plain:
            work = world.work_requests.get(job["work_request"])
            if work is not None and work["status"] is None:
                return job
    return None


def start(kind: Kind) -> CallHandler:
    """Make the handler of the operation that starts a run."""

    async def answer(call: Call) -> web.StreamResponse:
        catalog = Catalog.of(call)
        thing = catalog.find(kind.type, call.request.match_info[kind.parameter])
        catalog.need(thing, "execute")
        if kind.type == "datasets":
            _reloadable(thing)
        if kind.type == "dataflows" and await call.request.read():
            _parameters(catalog, thing, await call.json())
        busy = running(call.world, call.instance.name, kind.type, thing["plain"])
        if busy is not None and call.world.settings.refuse_second_run:
            # The 409 is documented; its meaning is inferred.
            raise OACError(409, "Conflict", f"{thing['name']} is already running (job {busy['id']}).")
        job = begin(call.world, call.instance.name, call.user["name"], kind, thing, fault=call.fault)
        return web.Response(status=202, headers={"oa-work-request-id": job["work_request"]})

    return answer


def _reloadable(thing: Item) -> None:
    """Refuse a dataset that has nothing to reload (documented: not from a file, at least one cached table)."""
    if "file" in thing["definition"]:
        raise bad_request(f"The dataset {thing['name']} is based on a file and cannot be reloaded.")
    if not thing["definition"].get("tables"):
        raise bad_request(f"No table of the dataset {thing['name']} has automatic caching: nothing to reload.")


def _parameters(catalog: Catalog, flow: Item, body: dict[str, Any]) -> None:
    """Check the parameters that replace a data flow's inputs or outputs.

    :raises OACError: if a member is missing, or refers to something that does not exist (400, 404).
    """
    kind = body.get("type")
    if kind not in _PARAMETER_TYPES:
        raise bad_request(f"type must be one of {', '.join(_PARAMETER_TYPES)}.")
    known = [parameter["name"] for parameter in flow["definition"].get("parameters", []) if parameter["type"] == kind]
    pairs = (("appParameterName", "appName"), ("cubeParameterName", "cubeName")) if kind == "cube" else ()
    for name in [name for name, _ in pairs] or ["parameterName"]:
        if body.get(name) not in known:
            raise bad_request(f"{name} {body.get(name)!r} is no {kind} parameter of the data flow {flow['name']}.")
    for _, value in pairs:
        if not isinstance(body.get(value), str) or not body[value]:
            raise bad_request(f"{value} is missing or not a text.")
    if not pairs and not _dataset(catalog, body):
        raise not_found("The dataset of the parameter")


def _dataset(catalog: Catalog, body: dict[str, Any]) -> Item | None:
    """Return the dataset that a parameter names: by ID, plain or encoded (which is unknown), or by its old name."""
    text, name = body.get("datasetId"), body.get("datasetName")
    if isinstance(text, str):
        plain = catalog.at("datasets", text)
        if plain is not None:
            return plain
        try:
            return catalog.at("datasets", decoded(text))
        except OACError:
            return None
    named = (thing for thing in catalog.items if thing["type"] == "datasets" and thing["name"] == name)
    return next(named, None)


def history(kind: Kind, which: str) -> CallHandler:
    """Make the handler that returns `all` jobs, the `latest` or `one`, always as an array (documented)."""

    async def answer(call: Call) -> web.StreamResponse:
        catalog = Catalog.of(call)
        # The contract has no 400 here.
        thing = catalog.find(kind.type, call.request.match_info[kind.parameter], malformed=404)
        catalog.need(thing, "read")
        appeared = time.time() - call.world.settings.history_delay
        jobs = [
            job
            for job in call.world.jobs
            if job["instance"] == call.instance.name
            and (job["type"], job["plain"]) == (kind.type, thing["plain"])
            and job["started"] <= appeared
        ]
        jobs.reverse()
        if which == "one":
            jobs = [job for job in jobs if job["id"] == call.request.match_info["jobId"]]
            if not jobs:
                raise not_found("The job")
        elif not jobs and call.world.settings.empty_history == "404":
            raise not_found("Any job")
        query = call.request.query
        bodies = [shown(call.world, job, tasks=query.get("includeTasks") != "false") for job in jobs]
        bodies = bodies[:1] if which == "latest" else bodies
        return json_reply(chosen(bodies, query) if which == "all" else bodies)

    return answer


async def _run(world: World, record: Record) -> list[Record]:
    """Complete a run; it fails if the item is set to fail."""
    job = world.jobs.get(record["job"]["job"])
    content = world.content.get(record["instance"]) or {"catalog": []}
    kind = job["type"] if job else ""
    thing = next(
        (item for item in content["catalog"] if (item["type"], item["plain"]) == (kind, record["plain"])), None
    )
    if job is None or thing is None:
        raise WorkFailed("NotFound", "What was to run was deleted meanwhile.")
    fails = thing["definition"].get("fails")
    if fails:
        raise WorkFailed("RunFailed", str(fails))
    world.jobs.put(job["id"], {**job, "ok_tasks": len(job["tasks"])})
    return [
        {
            "actionResult": "COMPLETED", "resourceType": record["resource_type"],
            "id": encoded(record["plain"]), "metadata": {},
        }
    ]  # fmt: skip


def _failed(world: World, record: Record) -> None:
    """Record a failed or canceled run: all tasks but the last are done."""
    job = world.jobs.get(record["job"]["job"])
    if job is not None:
        message = record["errors"][0].get("message", "") if record["errors"] else ""
        world.jobs.put(job["id"], {**job, "ok_tasks": max(0, len(job["tasks"]) - 1), "message": message})


JOBS = {"run": (_run, _failed)}
_ROLES = (CONTENT_AUTHOR, ADMINISTRATOR)
ROUTES = [
    Route(method, f"/catalog/{kind.type}/{{{kind.parameter}}}/{path}", handler, _ROLES, faults)
    for kind in KINDS
    for method, path, handler, faults in (
        ("POST", f"actions/{kind.action}", start(kind), STARTS_WORK),
        ("GET", "history", history(kind, "all"), ()),
        ("GET", "history/latest", history(kind, "latest"), ()),
        ("GET", "history/{jobId}", history(kind, "one"), ()),
    )
]
