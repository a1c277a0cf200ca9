"""The requests that the command `conformance` sends to a real instance, and its findings."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import requests

from airflow_provider_oac.auth.session import MemoryStore, Session
from airflow_provider_oac.auth.settings import DEFAULT_AUDIENCE, JWT_ASSERTION
from airflow_provider_oac.cli.contract import differences, operations, unknown_members
from airflow_provider_oac.cli.process import tell
from airflow_provider_oac.exceptions import OACAuthError, OACError
from airflow_provider_oac.transport.blocking import run

if TYPE_CHECKING:
    from airflow_provider_oac.hooks.oac import OACHook

AGREED, DISAGREED, NOT_TRIED = "agreed", "disagreed", "not tried"
# Types of the catalog whose items have a separate operation, and the name of that operation.
_DETAILS = {"workbooks": "getWorkbook", "analysis": "getAnalysis", "connections": "getConnection"}
_HISTORIES = {"datasets": "Dataset", "dataflows": "DataFlow", "sequences": "Sequence"}
_NEEDS_WORK = {
    "getWorkRequest": "Reading starts no work; --allow-write does.",
    "downloadWorkbookExport": "This command starts no export.",
}
# For --allow-write: how long the work may take, and the pause between two polls, in seconds.
_PATIENCE, _PAUSE = 1800.0, 1.0


@dataclass(frozen=True)
class Finding:
    """The result of one operation.

    :param state: ``agreed``, ``disagreed`` or ``not tried``.
    :param notes: differences, the reason why it was not tried, or other observations; no values.
    """

    operation: str
    state: str
    status: int | None = None
    notes: tuple[str, ...] = ()


@dataclass
class Probes:
    """Calls operations, compares the responses with the contract, and keeps the findings.

    :param hook: the hook of the Connection.
    """

    hook: OACHook
    findings: list[Finding] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    headers: set[str] = field(default_factory=set)
    _ids: dict[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.session = self.hook.get_conn()

    def read_everything(self) -> None:
        """Call all operations that change nothing, if the instance has something to read."""
        self._lists()
        for kind, item in self._ids.items():
            self._item(kind, item)
        for name in ("getSystem", "getSystemSettings", "getMailServer", "listSafeDomains"):
            self.ask(name)
        first = next((item["id"] for item in _objects(_items(self.ask("listSnapshots"))) if item.get("id")), None)
        self.ask("getSnapshot", {"snapshotId": first})
        tried = {finding.operation for finding in self.findings}
        for name, operation in operations().items():
            if name not in tried and (
                operation.method == "GET" or name in ("getCatalogItemAcl", "getWorkbookCanvases")
            ):
                missing = "There is no such item that this user can see."
                self.findings.append(Finding(name, NOT_TRIED, None, (_NEEDS_WORK.get(name, missing),)))

    def ask(
        self, name: str, path: Mapping[str, str | None] | None = None, query: Mapping[str, Any] | None = None
    ) -> Any:
        """Call one operation and compare its response with the contract.

        :param path: parameters of its path. If one of them is ``None``, the operation is not called.
        :returns: the JSON of a successful response, else ``None``.
        """
        operation = operations()[name]
        given = path or {}
        if None in given.values():
            return None
        where = re.sub(r"\{(\w+)\}", lambda found: quote(str(given[found[1]]), safe=""), operation.path)
        reply = self._send(name, operation.method, where, params=query, data=b"")
        return None if reply is None else self._judge(name, reply)

    def _send(self, name: str, method: str, path: str, **more: Any) -> requests.Response | None:
        """Send a request, and keep a finding if no response arrives.

        :param name: the name of the operation.
        """
        try:
            reply = self.session.request(method, path, **more)
        except (requests.RequestException, OACError) as error:
            self._keep(Finding(name, DISAGREED, None, (f"No response came ({type(error).__name__}).",)))
            return None
        self.see(reply)
        return reply

    def _judge(self, name: str, reply: requests.Response) -> Any:
        """Compare a response with the contract and keep the finding."""
        operation, status = operations()[name], reply.status_code
        if status in (401, 403) or status in (502, 503, 504):
            why = "the user lacks the role or permission" if status in (401, 403) else "the instance is not ready"
            self._keep(Finding(name, NOT_TRIED, status, (f"HTTP {status}: {why}.",)))
            return None
        try:
            content = reply.json() if reply.content else None
        except ValueError:
            if operation.schema and status < 300:
                self._keep(Finding(name, DISAGREED, status, ("A JSON answer was expected, none came.",)))
                return None
            content = None
        # The contract lists HTTP 500 for many operations, but a working instance does not return it.
        wrong = [f"HTTP {status}: OAC failed."] if status >= 500 else differences(operation, status, content)
        more = unknown_members(operation, content) if status < 300 else []
        notes = [*wrong, *([f"Members that the contract does not name: {', '.join(more)}."] if more else [])]
        self._keep(Finding(name, DISAGREED if wrong else AGREED, status, tuple(notes)))
        return content if status < 300 else None

    def _keep(self, finding: Finding) -> None:
        """Keep a finding. If an operation is called several times, keep the worst finding, with the notes of all."""
        order = (NOT_TRIED, AGREED, DISAGREED)
        for place, old in enumerate(self.findings):
            if old.operation == finding.operation:
                worst = max(old, finding, key=lambda item: order.index(item.state))
                self.findings[place] = replace(worst, notes=tuple(dict.fromkeys([*old.notes, *finding.notes])))
                return
        self.findings.append(finding)

    def see(self, reply: requests.Response) -> None:
        """Keep observations about the headers of a response."""
        self.headers |= {name.lower() for name in reply.headers}
        if retry := reply.headers.get("Retry-After"):
            form = "a number" if retry.isdigit() else "a date"
            self.answers["unit of Retry-After"] = f"{form}, with HTTP {reply.status_code}."

    def _lists(self) -> None:
        """List the catalog without and with a search, and find one item of each type."""
        types = self.ask("listCatalogItems")
        described = _objects(types)
        bare = types == described and all(set(item) == {"type"} for item in described)
        self.answers["GET /catalog without search"] = "type descriptors." if bare else "not type descriptors."
        self._paging()
        for kind in sorted({item["type"] for item in described if isinstance(item.get("type"), str)}):
            listed = self.ask("listCatalogItemsByType", {"type": kind}, {"search": "*", "limit": 5})
            if first := next((item["id"] for item in _objects(listed) if item.get("id")), None):
                self._ids[kind] = str(first)

    def _paging(self) -> None:
        """Find out the default page size, and the form of the header for the next page."""
        operation = operations()["listCatalogItems"]
        queries: tuple[dict[str, str], ...] = ({"search": "*"}, {"search": "*", "limit": "1"})
        for query in queries:
            reply = self._send("listCatalogItems", "GET", operation.path, params=query)
            if reply is None:
                return
            items = self._judge("listCatalogItems", reply)
            pages, following = reply.headers.get("oa-page-count"), reply.headers.get("oa-next-page")
            if "limit" not in query and isinstance(items, list):
                whole = "all there were" if pages in (None, "0", "1") else f"the first of {pages} pages"
                self.answers["default of limit"] = f"{len(items)} items came, {whole}."
            elif following:
                form = "a number" if following.isdigit() else "a URL" if "/" in following else "something else"
                self.answers["form of oa-next-page"] = f"{form}."

    def _item(self, kind: str, item: str) -> None:
        self.ask("getCatalogItem", {"type": kind, "id": item})
        self.ask("getCatalogItemAcl", {"type": kind, "id": item})
        if kind in _DETAILS:
            (parameter,) = re.findall(r"\{(\w+)\}", operations()[_DETAILS[kind]].path)
            self.ask(_DETAILS[kind], {parameter: item})
        if kind == "workbooks":
            self.ask("getWorkbookCanvases", {"id": item})
            self._padding(kind, item)
        if kind in _HISTORIES:
            self._history(_HISTORIES[kind], item)

    def _padding(self, kind: str, item: str) -> None:
        """Find out whether OAC accepts IDs with padding as well as without."""
        bare = item.rstrip("=")
        if len(bare) % 4 == 0:
            return
        other = bare if item != bare else bare + "=" * (-len(bare) % 4)
        path = operations()["getCatalogItem"].path.format(type=kind, id=quote(other, safe=""))
        try:
            status = self.session.get(path).status_code
        except (requests.RequestException, OACError):
            return
        listed, tried = ("unpadded", "padded") if item == bare else ("padded", "unpadded")
        self.answers["padding of ids"] = f"lists hold them {listed}; {tried} ones are answered with HTTP {status}."

    def _history(self, what: str, item: str) -> None:
        (parameter,) = re.findall(r"\{(\w+)\}", operations()[f"list{what}Jobs"].path)
        jobs = self.ask(f"list{what}Jobs", {parameter: item})
        self.ask(f"getLatest{what}Job", {parameter: item})
        if jobs == []:
            self.answers[f"empty history of a {what.lower()}"] = "HTTP 200 with an empty array."
        first = next((job.get("jobIdentifier") for job in _objects(jobs)), None)
        self.ask(f"get{what}Job", {parameter: item, "jobId": first})

    # ------------------------------------------------------------------------------------------ --allow-write

    def snapshot(self, name: str, body: dict[str, Any]) -> None:
        """Take a snapshot, poll its work request, and always delete the snapshot with its file.

        The snapshot's name contains the name of the instance, so it goes only to standard error, never into a finding.
        """
        refused = False
        try:
            refused = self._take(body)
        finally:
            self._remove(name, refused)

    def _take(self, body: dict[str, Any]) -> bool:
        """Submit a snapshot and poll its work request. Return whether OAC refused it."""
        reply = self._send("createSnapshot", "POST", operations()["createSnapshot"].path, json=body)
        if reply is None:
            return False
        content = self._judge("createSnapshot", reply)
        inside = content.get("workRequestId") if isinstance(content, dict) else None
        beside = reply.headers.get("oa-work-request-id")
        places = [text for text, found in (("the body", inside), ("the header", beside)) if found]
        self.answers["work request id of a new snapshot"] = f"in {' and '.join(places)}." if places else "nowhere."
        if work := inside or beside:
            self._follow(str(work))
        return 400 <= reply.status_code < 500

    def _follow(self, work: str) -> None:
        """Poll a work request until it ends. A response without its state does not end it."""
        ends = time.monotonic() + _PATIENCE
        seen: list[str] = []
        state: dict[str, Any] = {}
        while time.monotonic() < ends:
            found = self.ask("getWorkRequest", {"id": work})
            state = found if isinstance(found, dict) else {}
            status = str(state.get("status", "unreadable"))
            if not seen or seen[-1] != status:
                seen.append(status)
            if status not in ("ACCEPTED", "IN_PROGRESS", "unreadable"):
                break
            time.sleep(_PAUSE)
        resources = _objects(state.get("resources"))
        kinds = [str(item.get("resourceType")) for item in resources]
        results = {str(item.get("actionResult")) for item in resources}
        self.answers["work request of a new snapshot"] = (
            f"{state.get('operationType')}, states {' '.join(seen)}, resources {' '.join(kinds) or 'none'}, "
            f"actionResult {' '.join(sorted(results)) or 'none'}."
        )

    def _remove(self, name: str, refused: bool) -> None:
        """Delete the snapshot with its file, and check that it is gone."""
        mine = self._named(name)
        for snapshot in mine or ():
            self.ask("getSnapshot", {"snapshotId": snapshot})
            self.ask("deleteSnapshot", {"snapshotId": snapshot}, {"deleteStorage": "true"})
        if refused and mine == []:
            return
        remaining = self._named(name)
        if mine and remaining == []:
            return
        what = "is still there after its removal" if remaining else "is not listed"
        if remaining is None:
            what = "may be there, since no list can be read"
        tell(
            f"The snapshot {name} {what}. Look for it in OAC once its creation has ended, and remove it by hand "
            "together with its file."
        )
        note = f"The snapshot <snapshot> of this command {what}."
        self._keep(Finding("deleteSnapshot", DISAGREED, None, (note,)))

    def _named(self, name: str) -> list[str] | None:
        """Return the IDs of the snapshots with a name; ``None`` if OAC returns no list."""
        items = _items(self.ask("listSnapshots"))
        if not isinstance(items, list):
            return None
        return [str(item["id"]) for item in _objects(items) if item.get("name") == name]


def _items(listed: Any) -> Any:
    """Return the items of a list of snapshots; ``None`` if the response is not a list."""
    return listed.get("items") if isinstance(listed, dict) else None


def _objects(value: Any) -> list[dict[str, Any]]:
    """Return the objects in a JSON array; an empty list for any other value."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def identity_answers(hook: OACHook) -> Iterator[tuple[str, str]]:
    """Yield answers to open questions about the identity domain, by signing in without cached tokens."""
    auth = hook.settings.auth
    if auth.grant != JWT_ASSERTION:
        yield "aud acceptance", f"not tried: the grant is {auth.grant}."
        return
    for what, audience in (("the literal of Oracle's older documents", DEFAULT_AUDIENCE), ("the domain's URL", "")):
        tried = replace(auth, audience=(audience or f"{auth.identity_url.rstrip('/')}/",))
        try:
            token = run(Session(tried, MemoryStore()).renew(hook.io))
        except OACAuthError as error:
            yield f"aud acceptance: {what}", f"refused with HTTP {error.status}, {error.error}."
            yield "place of the ecid", "found in an error." if error.ecid else "none in an error's body or headers."
        except OACError as error:
            yield f"aud acceptance: {what}", f"no answer ({type(error).__name__})."
        else:
            yield f"aud acceptance: {what}", f"accepted; the token lives {token.lifetime:.0f} s."
