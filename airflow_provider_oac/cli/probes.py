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
    "getWorkRequest": "Only --allow-write starts a work request.",
    "downloadWorkbookExport": "This command starts no export.",
}
# For --allow-write: how long the work may take, and the pause between two polls, in seconds.
_TIMEOUT, _PAUSE = 1800.0, 1.0


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
        self.ask("getSnapshot", _first(_items(self.ask("listSnapshots")), "id"))
        called = {finding.operation for finding in self.findings}
        for name, operation in operations().items():
            reads = operation.method == "GET" or name in ("getCatalogItemAcl", "getWorkbookCanvases")
            if reads and name not in called:
                reason = _NEEDS_WORK.get(name, "The user can see no such item.")
                self.findings.append(Finding(name, NOT_TRIED, None, (reason,)))

    def ask(self, name: str, *path: str | None, query: Mapping[str, Any] | None = None) -> Any:
        """Call one operation and compare its response with the contract.

        :param path: the parameters in its path. If one of them is ``None``, the operation is not called.
        :returns: the JSON of a successful response, else ``None``.
        """
        operation, values = operations()[name], iter(path)
        if None in path:
            return None
        url = re.sub(r"\{\w+\}", lambda _: quote(str(next(values)), safe=""), operation.path)
        response = self._send(name, operation.method, url, params=query, data=b"")
        return None if response is None else self._compare(name, response)

    def _send(self, name: str, method: str, path: str, **more: Any) -> requests.Response | None:
        """Send a request, and keep a finding if no response arrives.

        :param name: the name of the operation.
        """
        try:
            response = self.session.request(method, path, **more)
        except (requests.RequestException, OACError) as error:
            self._keep(Finding(name, DISAGREED, None, (f"No response ({type(error).__name__}).",)))
            return None
        self.see(response)
        return response

    def _compare(self, name: str, response: requests.Response) -> Any:
        """Compare a response with the contract and keep the finding."""
        operation, status = operations()[name], response.status_code
        if status in (401, 403, 502, 503, 504):
            reason = "the user lacks the role or permission" if status < 500 else "the instance is not ready"
            self._keep(Finding(name, NOT_TRIED, status, (f"HTTP {status}: {reason}.",)))
            return None
        try:
            content = response.json() if response.content else None
        except ValueError:
            if operation.schema and status < 300:
                self._keep(Finding(name, DISAGREED, status, ("The response is not JSON.",)))
                return None
            content = None
        # The contract lists HTTP 500 for many operations, but a working instance does not return it.
        wrong = [f"HTTP {status}: OAC failed."] if status >= 500 else differences(operation, status, content)
        notes = list(wrong)
        if status < 300 and (unknown := unknown_members(operation, content)):
            notes.append(f"Members that the contract does not name: {', '.join(unknown)}.")
        self._keep(Finding(name, DISAGREED if wrong else AGREED, status, tuple(notes)))
        return content if status < 300 else None

    def _keep(self, finding: Finding) -> None:
        """Keep a finding. If an operation is called several times, keep the worst finding, with the notes of all."""
        order = (NOT_TRIED, AGREED, DISAGREED)
        for number, old in enumerate(self.findings):
            if old.operation == finding.operation:
                worst = max(old, finding, key=lambda item: order.index(item.state))
                self.findings[number] = replace(worst, notes=tuple(dict.fromkeys([*old.notes, *finding.notes])))
                return
        self.findings.append(finding)

    def see(self, response: requests.Response) -> None:
        """Keep observations about the headers of a response."""
        self.headers |= {name.lower() for name in response.headers}
        if retry := response.headers.get("Retry-After"):
            form = "a number" if retry.isdigit() else "a date"
            self.answers["unit of Retry-After"] = f"{form}, with HTTP {response.status_code}."

    def _lists(self) -> None:
        """List the catalog without and with a search, and find one item of each type."""
        types = self.ask("listCatalogItems")
        described = _objects(types)
        bare = types == described and all(set(item) == {"type"} for item in described)
        self.answers["GET /catalog without search"] = "type descriptors." if bare else "not type descriptors."
        self._paging()
        for kind in sorted({item["type"] for item in described if isinstance(item.get("type"), str)}):
            listed = self.ask("listCatalogItemsByType", kind, query={"search": "*", "limit": 5})
            if first := _first(listed, "id"):
                self._ids[kind] = first

    def _paging(self) -> None:
        """Find out the default page size, and the form of the header for the next page."""
        operation = operations()["listCatalogItems"]
        for limit in ({}, {"limit": "1"}):
            response = self._send("listCatalogItems", "GET", operation.path, params={"search": "*", **limit})
            if response is None:
                return
            items = self._compare("listCatalogItems", response)
            pages, following = response.headers.get("oa-page-count"), response.headers.get("oa-next-page")
            if not limit and isinstance(items, list):
                share = "all there are" if pages in (None, "0", "1") else f"the first of {pages} pages"
                self.answers["default of limit"] = f"{len(items)} items, {share}."
            elif following:
                form = "a number" if following.isdigit() else "a URL" if "/" in following else "something else"
                self.answers["form of oa-next-page"] = f"{form}."

    def _item(self, kind: str, item: str) -> None:
        self.ask("getCatalogItem", kind, item)
        self.ask("getCatalogItemAcl", kind, item)
        if kind in _DETAILS:
            self.ask(_DETAILS[kind], item)
        if kind == "workbooks":
            self.ask("getWorkbookCanvases", item)
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
        listed, changed = ("unpadded", "padded") if item == bare else ("padded", "unpadded")
        self.answers["padding of ids"] = f"lists hold {listed} ids; OAC answers {changed} ones with HTTP {status}."

    def _history(self, what: str, item: str) -> None:
        jobs = self.ask(f"list{what}Jobs", item)
        self.ask(f"getLatest{what}Job", item)
        if jobs == []:
            self.answers[f"empty history of a {what.lower()}"] = "HTTP 200 with an empty array."
        self.ask(f"get{what}Job", item, _first(jobs, "jobIdentifier"))

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
        response = self._send("createSnapshot", "POST", operations()["createSnapshot"].path, json=body)
        if response is None:
            return False
        content = self._compare("createSnapshot", response)
        in_body = content.get("workRequestId") if isinstance(content, dict) else None
        in_header = response.headers.get("oa-work-request-id")
        parts = [text for text, found in (("the body", in_body), ("the header", in_header)) if found]
        self.answers["work request id of a new snapshot"] = f"in {' and '.join(parts)}." if parts else "nowhere."
        if work := in_body or in_header:
            self._poll(str(work))
        return 400 <= response.status_code < 500

    def _poll(self, work: str) -> None:
        """Poll a work request until it ends. A response without its state does not end it."""
        deadline = time.monotonic() + _TIMEOUT
        seen: list[str] = []
        state: dict[str, Any] = {}
        while time.monotonic() < deadline:
            found = self.ask("getWorkRequest", work)
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
        created = self._named(name)
        for snapshot in created or ():
            self.ask("getSnapshot", snapshot)
            self.ask("deleteSnapshot", snapshot, query={"deleteStorage": "true"})
        if refused and created == []:
            return
        remaining = self._named(name)
        if created and remaining == []:
            return
        problem = "still exists after its deletion" if remaining else "is not listed"
        if remaining is None:
            problem = "may still exist: the list of snapshots cannot be read"
        tell(f"The snapshot {name} {problem}. Next step: when its creation has ended, delete it in OAC with its file.")
        self._keep(Finding("deleteSnapshot", DISAGREED, None, (f"The snapshot of this command {problem}.",)))

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


def _first(value: Any, member: str) -> str | None:
    """Return a member of the first object in a JSON array that has it."""
    return next((str(item[member]) for item in _objects(value) if item.get(member)), None)


def identity_answers(hook: OACHook) -> Iterator[tuple[str, str]]:
    """Yield answers to open questions about the identity domain, by signing in without cached tokens."""
    auth = hook.settings.auth
    if auth.grant != JWT_ASSERTION:
        yield "aud acceptance", f"not tried: the grant is {auth.grant}."
        return
    for what, audience in (("the literal of Oracle's older documents", DEFAULT_AUDIENCE), ("the domain's URL", "")):
        changed = replace(auth, audience=(audience or f"{auth.identity_url.rstrip('/')}/",))
        try:
            token = run(Session(changed, MemoryStore()).renew(hook.io))
        except OACAuthError as error:
            yield f"aud acceptance: {what}", f"refused with HTTP {error.status}, {error.error}."
            yield "place of the ecid", "found in an error." if error.ecid else "none in an error's body or headers."
        except OACError as error:
            yield f"aud acceptance: {what}", f"no response ({type(error).__name__})."
        else:
            yield f"aud acceptance: {what}", f"accepted; the token lives {token.lifetime:.0f} s."
