"""The web page at the control URL, which shows what is in each instance."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

from oac_simulator.oac.content import PERMISSIONS, Item
from oac_simulator.oac.job_report import shown
from oac_simulator.oac.snapshots import visible
from oac_simulator.store import Record
from oac_simulator.world import Instance, World

_SECONDS = 5
_RECENT, _CHILDREN = 20, 200
_LETTERS = dict(zip(PERMISSIONS, "rwlxdpo", strict=True))
_STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; margin: 1.5rem; color: #222; max-width: 80rem }
h1 { font-size: 1.4rem } h2 { font-size: 1.15rem; border-bottom: 2px solid #2a6ebb; margin-top: 2rem }
h3 { font-size: 1rem; margin: 1.1rem 0 .3rem } table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .2rem .6rem .2rem 0; border-bottom: 1px solid #ddd; vertical-align: top }
ul { margin: 0; padding-left: 1.3rem } .type { color: #777 } .acl { color: #777; font-size: .85em }
.FAILED { color: #b00020 } .SUCCEEDED { color: #17692d } .IN_PROGRESS, .ACCEPTED { color: #8a5a00 }
"""


def page(world: World) -> str:
    """Render the page. It reloads every few seconds and needs no script."""
    body = "".join(_instance(world, instance) for instance in world.instances.values())
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="refresh" content="{_SECONDS}"><title>OAC simulator</title><style>{_STYLE}</style></head>'
        f"<body><h1>OAC simulator</h1><p>Identity domain: {escape(world.identity_url)}. Permissions after an account: "
        f"{', '.join(f'{letter} {escape(name)}' for name, letter in _LETTERS.items())}.</p>{body}</body></html>"
    )


def _instance(world: World, instance: Instance) -> str:
    content = world.content.get(instance.name) or {"catalog": []}
    items: list[Item] = content["catalog"]
    loose = [thing for thing in items if thing["parent"] is None and not thing["plain"].startswith("/")]
    connections = [thing for thing in items if thing["type"] == "connections"]
    parts = [
        f"<h2>Instance {escape(instance.name)}</h2><p>{escape(instance.url)}</p>",
        "<h3>Snapshots</h3>", _snapshots(world, instance.name),
        "<h3>Recent work requests</h3>", _work(world, instance.name),
        "<h3>Recent job runs</h3>", _jobs(world, instance.name),
        f"<h3>Catalog ({len(items)} items)</h3>", _tree(items),
        "<h3>Connections</h3>", _connections(connections),
        "<h3>Datasets, flows and other objects</h3>",
        _table(
            ("Type", "Name", "Owner", "Modified", "Permissions"),
            ((t["type"], t["name"], t["owner"], t["lastModified"], _acl(t)) for t in loose if t not in connections),
        ),
    ]  # fmt: skip
    return "".join(parts)


def _table(heads: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Render a table with escaped cells; states are colored."""
    lines = [
        "".join(f'<td class="{escape(str(cell))}">{escape(str(cell))}</td>' if str(cell).isupper() else
                f"<td>{escape(str(cell))}</td>" for cell in row)
        for row in rows
    ]  # fmt: skip
    if not lines:
        return "<p>None.</p>"
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _snapshots(world: World, name: str) -> str:
    known = [snapshot for snapshot in world.snapshots if snapshot["instance"] == name]
    rows = (
        (
            snapshot["name"], snapshot["state"], "yes" if visible(world, snapshot) else "no",
            f"{snapshot['storage'].get('bucket', '')}: {snapshot['uri']}", snapshot["user"],
            world.clock.iso(snapshot["created"])[:19],
        )
        for snapshot in reversed(known)
    )  # fmt: skip
    return _table(("Name", "State", "Listed", "File", "By", "When"), rows)


def _work(world: World, name: str) -> str:
    found = [record for record in world.work_requests if record["instance"] == name][-_RECENT:]
    rows = []
    for record in reversed(found):
        report = world.work.report(record)
        said = "; ".join(str(error.get("message", "")) for error in record["errors"])
        rows.append(
            (record["operation"], report["status"], f"{report['percentComplete']:.0f} %", record.get("plain") or "",
             record["user"], report["timeAccepted"][:19], record["id"], said)
        )  # fmt: skip
    return _table(("Operation", "Status", "Done", "Of", "By", "Accepted", "Id", "Errors"), rows)


def _jobs(world: World, name: str) -> str:
    found = [job for job in world.jobs if job["instance"] == name][-_RECENT:]
    rows = []
    for job in reversed(found):
        body = {key.strip('"'): value for key, value in shown(world, job, tasks=True).items()}
        tasks = ", ".join(
            f"{task['taskName']} {task['taskStatus']} ({task.get('taskNumberOfSuccessfulRows', 0)} rows)"
            for task in body["jobTasks"]
        )
        rows.append(
            (body["jobRunType"].title(), body["jobName"], body["jobStatus"], body["jobStartTimestamp"],
             body.get("jobRunDuration", ""), tasks)
        )  # fmt: skip
    return _table(("Kind", "Name", "Status", "Started", "Seconds", "Tasks"), rows)


def _connections(connections: list[Item]) -> str:
    rows = (
        (
            thing["name"], thing["definition"].get("connectionType", ""), thing["definition"].get("username", ""),
            thing["owner"], thing["lastModified"], _acl(thing),
        )
        for thing in connections
    )  # fmt: skip
    return _table(("Name", "Source", "User name", "Owner", "Modified", "Permissions"), rows)


def _acl(thing: Item) -> str:
    """Abbreviate the access control list of an item."""
    return ", ".join(f"{line['accountDisplayName']}: {_short(line)}" for line in thing["acl"] or [])


def _short(line: Record) -> str:
    return "".join(_LETTERS[name] for name, on in line["permissions"].items() if on) or "nothing"


def _tree(items: list[Item]) -> str:
    """Render the folders with their items."""
    children: dict[str | None, list[Item]] = {}
    known = {thing["plain"] for thing in items}
    for thing in items:
        if thing["plain"].startswith("/"):
            children.setdefault(thing["parent"] if thing["parent"] in known else None, []).append(thing)
    return _branch(children, None)


def _branch(children: dict[str | None, list[Item]], parent: str | None) -> str:
    inside = sorted(children.get(parent, []), key=lambda thing: (thing["type"] != "folders", thing["name"].casefold()))
    if not inside:
        return ""
    lines = [
        f'<li>{escape(thing["name"])} <span class="type">{escape(thing["type"])}, {escape(thing["owner"])}, '
        f'{escape(thing["lastModified"])}</span>'
        + (f' <span class="acl">{escape(_acl(thing))}</span>' if thing["acl"] is not None else "")
        + _branch(children, thing["plain"])
        + "</li>"
        for thing in inside[:_CHILDREN]
    ]  # fmt: skip
    if len(inside) > _CHILDREN:
        lines.append(f"<li>and {len(inside) - _CHILDREN} more</li>")
    return f"<ul>{''.join(lines)}</ul>"
