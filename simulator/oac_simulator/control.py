"""A small client of the control API. It uses the standard library only, so any test can use it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

_TIMEOUT = 30.0


class ControlFailed(RuntimeError):
    """The simulator refused a control request."""


class Control:
    """Controls a running simulator from a test.

    :param ready: content of the ready file.
    """

    def __init__(self, ready: Mapping[str, Any]) -> None:
        self._url = str(ready["control_url"])
        self._bucket = ready.get("default_bucket")
        # Bypass any proxy that the environment names: the simulator is on this machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data else {}
        request = urllib.request.Request(  # noqa: S310 - the address comes from the ready file
            self._url + path, data=data, headers=headers, method=method
        )
        try:
            with self._opener.open(request, timeout=_TIMEOUT) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode("utf-8", "replace")
            raise ControlFailed(f"{method} {path} was refused with {error.code}: {text}") from error

    def fault(self, endpoint: str, fault: str, **details: Any) -> list[dict[str, Any]]:
        """Inject a fault.

        :param endpoint: `token`, `device`, `POST /snapshots`, `GET /workRequests/{id}`, ..., or `*`.
        :param fault: the kind of fault, see `docs/simulator.md`.
        :param details: `instance`, `grant`, `times` (None: no limit), `after`, `seconds`, `status`, `headers`,
            `body`, `location`, `errors`, `work_status`, `size`, `at`, `form`, `act`.
        :returns: all active faults.
        """
        faults: list[dict[str, Any]] = self._call("POST", "/faults", {"endpoint": endpoint, "fault": fault, **details})
        return faults

    def faults(self) -> list[dict[str, Any]]:
        """Return the active faults, each with `seen` and `hits`."""
        faults: list[dict[str, Any]] = self._call("GET", "/faults")
        return faults

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._call("DELETE", "/faults")

    def counters(self) -> dict[str, Any]:
        """Return the counters `calls`, `replies`, `grants`, `issued` and `connections`."""
        counters: dict[str, Any] = self._call("GET", "/counters")
        return counters

    def calls(self, place: str, endpoint: str) -> int:
        """Return the number of calls to an endpoint of an instance or of `identity`; both must exist."""
        return int(self._call("GET", "/counters/calls?" + urlencode({"place": place, "endpoint": endpoint})))

    def grants(self, grant: str) -> int:
        """Return the number of calls to the token endpoint with a grant (`jwt-bearer`, `password`, ...)."""
        return int(self._call("GET", "/counters/grants?" + urlencode({"grant": grant})))

    def endpoints(self) -> dict[str, list[str]]:
        """Return the names of the endpoints of `identity` and of each instance, for faults and counters."""
        endpoints: dict[str, list[str]] = self._call("GET", "/endpoints")
        return endpoints

    def reset_counters(self) -> None:
        """Set all counters to zero."""
        self._call("POST", "/counters/reset")

    def secrets(self) -> dict[str, Any]:
        """Return the secrets that the token endpoint saw (`seen`: `name` and `value`) and the number `forgotten`."""
        secrets: dict[str, Any] = self._call("GET", "/secrets")
        return secrets

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Change the given settings and return all; `app={...}` changes the confidential application."""
        settings: dict[str, Any] = (
            self._call("PATCH", "/settings", changes) if changes else self._call("GET", "/settings")
        )
        return settings

    def user(self, name: str, **changes: Any) -> dict[str, Any]:
        """Change a user (`active`, `roles`, `password`, `federated`, `instance_roles`, `privileges`) and return it."""
        path = f"/users/{quote(name, safe='')}"
        user: dict[str, Any] = self._call("PATCH", path, changes) if changes else self._call("GET", path)
        return user

    def content(self, instance: str) -> dict[str, Any]:
        """Return the content of an instance: section to value."""
        content: dict[str, Any] = self._call("GET", f"/instances/{instance}/content")
        return content

    def damage(self, instance: str, types: list[str] | None = None) -> list[str]:
        """Delete part of an instance's content.

        :param instance: which.
        :param types: catalog types whose items are deleted; None for workbooks and data flows.
        :returns: plain IDs of the deleted items.
        """
        body = {} if types is None else {"types": types}
        lost: list[str] = self._call("POST", f"/instances/{instance}/damage", body)["lost"]
        return lost

    def snapshots(self, instance: str) -> list[dict[str, Any]]:
        """Return all snapshots, listed or not, with `state`, `listed` and `work_request`."""
        snapshots: list[dict[str, Any]] = self._call("GET", f"/instances/{instance}/snapshots")
        return snapshots

    def add_snapshot(self, instance: str, name: str, uri: str, password: str, **details: Any) -> dict[str, Any]:
        """Add a complete snapshot with its file, as if the administrator had created it.

        :param instance: where.
        :param name: its name.
        :param uri: path of its file, `file:///folder/name.bar`.
        :param password: password that a restore needs; OAC's rules apply.
        :param details: `age`, how many seconds ago it was created (0), and `bucket`, a name (the default bucket).
        :returns: the snapshot, as :meth:`snapshots` returns it.
        """
        bucket = details.pop("bucket", self._bucket)
        storage = {"type": "OCI_NATIVE", "bucket": bucket, "auth": {"type": "OCI_RESOURCE_PRINCIPAL"}}
        body = {"name": name, "bar": {"uri": uri, "password": password}, "storage": storage, **details}
        snapshot: dict[str, Any] = self._call("POST", f"/instances/{instance}/snapshots", body)
        return snapshot

    def work_requests(self, instance: str) -> list[dict[str, Any]]:
        """Return all work requests of an instance, as the REST API shows them."""
        work: list[dict[str, Any]] = self._call("GET", f"/instances/{instance}/work-requests")
        return work

    def start_work(self, instance: str, seconds: float, count: int = 1, **details: Any) -> list[str]:
        """Start work that only takes time.

        :param instance: where.
        :param seconds: duration of each work request.
        :param count: number of work requests.
        :param details: `user` and `operation`.
        :returns: IDs of the work requests.
        """
        body = {"seconds": seconds, "count": count, **details}
        ids: list[str] = self._call("POST", f"/instances/{instance}/work", body)["ids"]
        return ids

    def counts(self, instance: str) -> dict[str, Any]:
        """Count catalog `items` (per type in `types`), snapshots, work requests, jobs and exports."""
        counts: dict[str, Any] = self._call("GET", f"/instances/{instance}/counts")
        return counts

    def add_items(self, instance: str, *items: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Add items to the catalog, each with `type`, `plain` (path or quoted pair) and any other members."""
        made: list[dict[str, Any]] = self._call("POST", f"/instances/{instance}/items", {"items": list(items)})
        return made

    def change_item(self, instance: str, plain: str, *, type: str | None = None, **changes: Any) -> dict[str, Any]:
        """Change `name`, `owner`, `description`, `lastModified`, `definition`, `acl` or `parent` of an item.

        `lastModified` defaults to the current time. If the definition of a dataset or data flow has the string `fails`,
        every
        run fails with that message.
        """
        body = {"plain": plain, **changes} | ({} if type is None else {"type": type})
        item: dict[str, Any] = self._call("PATCH", f"/instances/{instance}/items", body)
        return item

    def remove_items(self, instance: str, *plain: str) -> int:
        """Remove items and everything below them, and return the number of removed items."""
        return int(self._call("DELETE", f"/instances/{instance}/items", {"plain": list(plain)})["removed"])

    def seed_many(self, instance: str, count: int, *, type: str = "workbooks", folder: str = "Many") -> str:
        """Add `count` items in a new shared folder and return the folder's path."""
        body = {"count": count, "type": type, "folder": folder}
        return str(self._call("POST", f"/instances/{instance}/many", body)["folder"])

    def index_not_ready(self, instance: str, seconds: float) -> None:
        """Make searches return 503 `SearchIndexNotReady` for this time (0: they work again at once)."""
        self._call("POST", f"/instances/{instance}/index", {"seconds": seconds})

    def start_run(self, instance: str, type: str, plain: str, **details: Any) -> dict[str, str]:
        """Start a run of a dataset, data flow or sequence behind the client's back.

        :param instance: where.
        :param type: `datasets`, `dataflows` or `sequences`.
        :param plain: plain ID of the item.
        :param details: `user`, `origin` (`Schedule`), `seconds`.
        :returns: `job` and `work_request`.
        """
        body = {"type": type, "plain": plain, **details}
        started: list[dict[str, str]] = self._call("POST", f"/instances/{instance}/runs", body)
        return started[0]

    def finish(self, instance: str, work_id: str, status: str = "SUCCEEDED", **details: Any) -> dict[str, Any]:
        """End running work now as SUCCEEDED (the server carries out its job), FAILED (with `errors`) or CANCELED."""
        path = f"/instances/{instance}/work-requests/{quote(work_id, safe='')}/finish"
        work: dict[str, Any] = self._call("POST", path, {"status": status, **details})
        return work

    def jobs(self, instance: str) -> list[dict[str, Any]]:
        """Return the complete job history, oldest first, each job with `plain` and `work_request`."""
        jobs: list[dict[str, Any]] = self._call("GET", f"/instances/{instance}/jobs")
        return jobs

    def exports(self, instance: str) -> list[dict[str, Any]]:
        """Return the finished exports: `id`, `plain`, `name`, `format`, `user`."""
        exports: list[dict[str, Any]] = self._call("GET", f"/instances/{instance}/exports")
        return exports

    def users(self) -> list[dict[str, Any]]:
        """Return all users."""
        users: list[dict[str, Any]] = self._call("GET", "/users")
        return users

    def add_user(self, name: str, **members: Any) -> dict[str, Any]:
        """Add a user (`roles`, `password`, `privileges`, ...) with a folder in every instance."""
        user: dict[str, Any] = self._call("POST", "/users", {"name": name, **members})
        return user

    def remove_user(self, name: str) -> None:
        """Delete a user but keep the items that the user owns."""
        self._call("DELETE", f"/users/{quote(name, safe='')}")

    def roles(self) -> list[str]:
        """Return the names of the application roles."""
        roles: list[str] = self._call("GET", "/roles")
        return roles

    def add_role(self, name: str) -> list[str]:
        """Add an application role; assign it with `user(name, roles=[...])`."""
        roles: list[str] = self._call("POST", "/roles", {"name": name})
        return roles

    def bucket(self) -> dict[str, int]:
        """Return the files in all buckets: `<bucket>/<path>` to size in bytes."""
        files: dict[str, int] = self._call("GET", "/bucket")
        return files

    def profile_tokens(self, instance: str, user: str = "oac.admin@example.com") -> dict[str, Any]:
        """Return the `tokens.json` that a user downloads from the Profile page of an instance."""
        tokens: dict[str, Any] = self._call("POST", f"/instances/{instance}/profile-tokens", {"user": user})
        return tokens

    def end_tokens(self) -> None:
        """Invalidate all access tokens issued so far: the next call gets a 401."""
        self._call("POST", "/tokens/end", {})

    def data(self, instance: str, sql: str, *parameters: Any) -> list[list[Any]]:
        """Read or change the rows that MCP queries.

        :param instance: name of the instance.
        :param sql: a SQLite statement. Each source is a table (`"Sales History"`, `"XSA('admin'.'Orders')"`), each
            column is named `Table.Column` (`"Facts.Revenue"`); dates are strings such as `2026-01-31 00:00:00.0`.
        :param parameters: values for its question marks.
        :returns: the rows.
        """
        body = {"sql": sql, "parameters": list(parameters)}
        rows: list[list[Any]] = self._call("POST", f"/instances/{instance}/data", body)
        return rows

    def end_sessions(self) -> int:
        """End all MCP sessions, as a restart does, and return how many there were."""
        return int(self._call("POST", "/mcp/end", {})["ended"])

    def approve_device(self, user_code: str, *, user: str | None = None, approve: bool = True) -> None:
        """Approve or deny a device sign-in, as a person does on the page."""
        body: dict[str, Any] = {"user_code": user_code, "approve": approve}
        if user is not None:
            body["user"] = user
        self._call("POST", "/device/approve", body)

    def reset(self) -> None:
        """Restore the first state, with the same keys, client, ports and scopes."""
        self._call("POST", "/reset", {})
