"""The operator for any call to OAC, including operations without an operator and those that Oracle adds later."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import Annotated, Any

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import AirflowFailException, AirflowSkipException, Context
from airflow_provider_oac.arguments import EMPTY, Location, Number, Template
from airflow_provider_oac.exceptions import (
    OACConfigurationError,
    OACError,
    OACKilledError,
    OACResponseError,
    OACStorageError,
    OACSupersededError,
    OACWorkRequestError,
)
from airflow_provider_oac.links import INSTANCE_LINKS
from airflow_provider_oac.operators.base import OACWorkOperator, sink_of
from airflow_provider_oac.operators.task_state import NoFacts, Started, Succeeded, TaskState

_API_BASE = "/api/20210901"


class OACApiOperator(OACWorkOperator):
    """Makes any call to OAC: one of :mod:`airflow_provider_oac.client` by its name, or a method and a path.

    ::

        OACApiOperator(task_id="types", call="catalog.list_types")
        OACApiOperator(task_id="books", call="catalog.list_items", arguments={"kind": "workbooks"})
        OACApiOperator(task_id="system", method="GET", path="/system")
        OACApiOperator(task_id="new", method="POST", path="/catalog/…/actions/…", body={…}, wait_for_completion=True)

    ``wait_for_completion=True`` waits for the work that the call starts, in the worker or the triggerer. A retry
    reattaches to the work if Airflow has a task state store (3.3). Calls that are not safe to repeat are those with
    ``POST`` or ``PATCH``, and outside the REST API all but ``GET``, unless ``repeatable`` is set. If the task cannot
    know whether OAC completed such a call, it fails without a retry and never sends the call again. Without a store,
    Airflow cannot detect that a worker was killed during the call.

    The result (XCom) is the JSON of the response: an object, a list, a text, or nothing. With ``destination`` it is a
    dictionary: ``path``, ``size``, ``sha256``, and for a list ``items``. For work it is a dictionary:
    ``work_request_id``, ``status``, ``operation``, ``resources``.

    :param call: name of a call, such as ``catalog.get``: module below ``airflow_provider_oac.client`` and function; or
    :param arguments: the arguments of that call. A call that sends a secret is refused: each of
        these has an operator, which takes the secret from an Airflow Connection.
    :param method: ``GET``, ``POST``, ``PUT``, ``DELETE`` or ``PATCH``, with
    :param path: path below ``base``, its ids encoded.
    :param query: query parameters; ``None`` leaves one out, a list repeats it.
    :param body: a text is sent unchanged, anything else as JSON. ``{{ … | tojson }}`` makes JSON of a dictionary
        in a template; the ``.output`` of a task needs no template.
    :param headers: further headers.
    :param accept: media types that the response may have.
    :param content_type: media type of the body.
    :param base: prefix of the path; ``""`` for a path outside the REST API.
    :param scope: request a token with this scope instead of the Connection's. Services outside the REST API may need
        their own scope.
    :param paged: whether to fetch all pages of a list, of which the path returns one. With ``call``, a list always has
        all pages. The task fetches pages in parallel and waits while OAC builds its search index. A list that reaches
        OAC's limit of 10,000 items fails the task.
    :param max_items: maximum number of items of a paged list in XCom.
    :param destination: URL of a file: the response is streamed into it, or a paged list is written as JSON lines.
    :param destination_conn_id: the Airflow Connection of the store, if the URL names none.
    :param repeatable: whether the call is safe to repeat; by default as the client knows of the call or the method.
    :param result_check: called with the result; the task fails unless it returns a true value.
    :param result_filter: called with the result; its return value becomes the task's result.
    :param wait_for_completion: whether the call starts work (its response names a work request) and the task waits for
        it.
    """

    call: Template[str | None] = None
    arguments: Template[Mapping[str, Any] | None] = None
    method: Template[str | None] = None
    path: Template[str | None] = None
    query: Template[Mapping[str, Any] | None] = None
    body: Template[Any] = None
    headers: Template[Mapping[str, str] | None] = None
    accept: Template[str] = "application/json"
    content_type: Template[str] = "application/json"
    base: Template[Annotated[str, EMPTY]] = _API_BASE
    scope: Template[str | None] = None
    paged: bool = False
    max_items: Number = 1000
    destination: Template[Location | None] = None
    destination_conn_id: Template[str | None] = None
    repeatable: bool | None = None
    result_check: Callable[[Any], Any] | None = None
    result_filter: Callable[[Any], Any] | None = None
    wait_for_completion: bool = False

    _accepted = False

    def __post_init__(self) -> None:
        """Show the link to a work request only if the task waits for one."""
        super().__post_init__()
        if not self.wait_for_completion:
            self.operator_extra_links = INSTANCE_LINKS

    @cached_property
    def hook(self) -> lazy.oac.OACHook:
        """The hook of this task, with ``scope`` if it is set."""
        hook = super().hook
        if self.scope:
            settings = hook.settings
            hook.settings = replace(settings, auth=replace(settings.auth, scope=self.scope))
        return hook

    def _begin(self, context: Context) -> Any:
        """Make the call, and wait for the work if ``wait_for_completion`` is set."""
        call = self._call()
        self._check_together(call)
        if self.wait_for_completion:
            with self._no_second_time(call, self._state(context)):
                return super()._begin(context)
        self._push_link(context)
        if self._in_pages():
            return self._checked(self._listed(context), call)
        state = self._state(context)
        state.claim()
        self._refuse_second(call, state)
        return self._checked(self._answer(call, state), call)

    def execute_complete(self, context: Context, event: dict[str, Any] | None) -> Any:
        """Resume after the wait in the triggerer."""
        self._accepted = True
        with self._no_second_time(self._call(), self._state(context)):
            return super().execute_complete(context, event)

    def start(self, state: TaskState, context: Context) -> Started:
        """Send the call that starts the work."""
        call = self._call()
        self._refuse_second(call, state)
        # Every response has the id in one of the known places, whatever the call's own reader returns.
        logged = self._logged(replace(call, read=lazy.work_requests.accepted_id))
        work = self._sent(call, state, self._fenced(logged, state))
        self._accepted = True
        self.log.info("OAC accepted: %s (work request %s).", call.doing, work)
        return Started(work, time.time(), NoFacts())

    def complete(self, started: Started, work: Succeeded, context: Context) -> Any:
        """Make the result."""
        result = {
            "work_request_id": started.work_request_id,
            "status": work.status if work else None,
            "operation": work.operation if work else None,
            "resources": [dict(resource) for resource in work.resources] if work else [],
        }
        return self._checked(result, self._call())

    def clean_up(self, started: Started, state: TaskState) -> None:
        """Record that the work ended without success: the next try may start it anew."""
        state.remember(sending=False, work_request_id=None)

    def _call(self) -> lazy.calls.Call[Any]:
        if bool(self.call) == bool(self.method and self.path):
            raise OACConfigurationError(
                f"Give either call (now {self.call!r}) or method and path (now {self.method!r}, {self.path!r}). If one "
                "comes from a template, check what it renders to."
            )
        if self.call:
            if given := [name for name in ("method", "path", "query", "body", "headers") if getattr(self, name)]:
                raise OACConfigurationError(f"{', '.join(given)} cannot be combined with call={self.call!r}.")
            found = lazy.any_call.named(self.call, dict(self.arguments or {}))
            made = found.page(1) if isinstance(found, lazy.paging.Listing) else found
        else:
            if self.arguments:
                raise OACConfigurationError("arguments belong to call. With method and path, use query and body.")
            accept = "*/*" if self.destination and not self.paged else self.accept
            made = lazy.any_call.raw(
                str(self.method), str(self.path), query=self.query, body=self.body, headers=self.headers,
                accept=accept, content_type=self.content_type, base=self.base,
            )  # fmt: skip
        if lazy.any_call.restores(made):
            raise OACConfigurationError(
                "A restore replaces the whole instance and cannot be undone. Use OACRestoreSnapshotOperator, which has "
                "safety checks."
            )
        if made.secrets:
            raise OACConfigurationError(
                f"The call {self.call!r} sends a secret, which does not belong in a DAG. Use the operator that reads "
                "it from an Airflow Connection, or OACHook in your own task."
            )
        return made if self.repeatable is None else replace(made, repeatable=self.repeatable)

    def _logged(self, call: lazy.calls.Call[Any]) -> lazy.calls.Call[Any]:
        """Return a call that also logs request and response, without bodies, since these may contain secrets."""

        def read(response: lazy.io.Response) -> Any:
            kind = lazy.io.media_type(response.headers)
            self.log.info("OAC answered HTTP %d: %s, %d bytes.", response.status, kind, len(response.body))
            return call.read(response)

        self.log.info("Sending %s %s.", call.method, call.base + call.path)
        return replace(call, read=read)

    def _check_together(self, call: lazy.calls.Call[Any]) -> None:
        if self.wait_for_completion and (self._in_pages() or self.destination or self.scope):
            raise OACConfigurationError(
                "wait_for_completion=True cannot be combined with paged, destination or scope: the call "
                "returns a work request of the REST API."
            )
        if self.paged and (call.method != "GET" or "page" in (self.query or {})):
            raise OACConfigurationError("paged=True needs method='GET', and a query without page.")
        if self.paged and self.call and not self._in_pages():
            raise OACConfigurationError(f"{self.call} does not return pages. Leave paged out.")

    def _in_pages(self) -> bool:
        """Whether to fetch all pages of a list. A list call of this package always does."""
        return lazy.any_call.lists(self.call) if self.call else self.paged

    def _listed(self, context: Context) -> Any:
        """Fetch all pages of a list."""
        listing = lazy.any_call.named(self.call, dict(self.arguments or {})) if self.call else None
        if not isinstance(listing, lazy.paging.Listing):
            listing = lazy.paging.Listing(partial(lazy.any_call.of_page, self._call()))
        self._logged(listing.page(1))
        return self._collect(listing.each, self.destination, self.destination_conn_id, self.max_items, context)

    def _answer(self, call: lazy.calls.Call[Any], state: TaskState) -> Any:
        """Send the call and return the content of its response."""
        if not self.destination:
            logged = self._logged(call)
            return self._sent(call, state, self._fenced(logged, state))
        # Before anything is sent: if the store refuses the file now, OAC has not acted yet.
        sink = sink_of(self.destination, self.destination_conn_id, state.key)
        self._logged(call)
        download = lazy.download.download(call, sink, None, lazy.download.ONE_ATTEMPT)
        stored = self._sent(call, state, lambda: self.hook.run(download))
        self.log.info("The response is at %s: %d bytes, SHA-256 %s.", self.destination, stored.size, stored.sha256)
        return {"path": self.destination, **stored.to_dict()}

    def _checked(self, result: Any, call: lazy.calls.Call[Any]) -> Any:
        """Check and filter the result. If that fails after a call that is not safe to repeat, no retry follows."""
        # Check and filter get the models; XCom gets plain values that Airflow can store.
        try:
            if self.result_check and not self.result_check(result):
                raise OACResponseError(
                    f"result_check rejected the result: {repr(result)[:500]}. The call itself succeeded"
                    + (", and a retry repeats it." if self.retries and call.repeatable else ".")
                )
            return lazy.models.plain(self.result_filter(result) if self.result_filter else result)
        except Exception as error:
            if call.repeatable or isinstance(error, (AirflowSkipException, AirflowFailException)):
                raise
            raise AirflowFailException(
                f"{error if isinstance(error, OACError) else f'{type(error).__name__}: {error}'} OAC completed the "
                f"call ({call.doing}), and repeating it could do harm, so the task is not retried. Clear the task to "
                "repeat the call."
            ) from error

    # -- calls that are not safe to repeat

    def _refuse_second(self, call: lazy.calls.Call[Any], state: TaskState) -> None:
        if not call.repeatable and (state.interrupted or (state.available and state.suspect())):
            work = state.of_this_order().work_request_id
            what = f"OAC no longer knows its work request {work}" if work else "its response was lost"
            raise AirflowFailException(
                f"Could not {call.doing}: an earlier try sent the call, and {what}. OAC may have completed it, so it "
                "is not sent again. Check in OAC whether it did. If so, mark this task as success; if not, clear it. "
                "repeatable=True always sends the call again."
            )

    def _fenced(self, call: lazy.calls.Call[Any], state: TaskState) -> Callable[[], Any]:
        """A function that sends the call. A call that is not safe to repeat is sent only by the current try."""
        if call.repeatable:
            return lambda: self.hook.run(call)
        return lambda: self.hook.run(lambda api: api.perform(call, before_send=state.check_current))

    def _sent(self, call: lazy.calls.Call[Any], state: TaskState, send: Callable[[], Any]) -> Any:
        """Send the call. If it fails and OAC may have acted on it, fail the task without a retry."""
        if call.repeatable:
            return send()
        task = state.attempts()
        task.remember(None)
        try:
            task.check_current()
            result = send()
        except OACSupersededError:
            raise
        except OACError as error:
            # A storage error means that OAC has answered: the store is used only for its response.
            if not lazy.submit.may_have_acted(error) and not isinstance(error, OACStorageError):
                task.take_back()
                raise
            raise AirflowFailException(
                f"{error} The task is not retried, since sending the call twice could do harm. Check in OAC whether it "
                "was completed. repeatable=True sends it again."
            ) from error
        if not self.wait_for_completion:
            state.remember(sending=False)
        return result

    @contextmanager
    def _no_second_time(self, call: lazy.calls.Call[Any], state: TaskState) -> Iterator[None]:
        """Prevent a retry after OAC accepted the work, if there is no store: it would start the work a second time."""
        try:
            yield
        except OACKilledError:
            raise
        except OACError as error:
            ended = isinstance(error, OACWorkRequestError) and error.status in ("FAILED", "CANCELED")
            if call.repeatable or state.available or ended or not self._accepted:
                raise
            raise AirflowFailException(
                f"{error} The task is not retried: this Airflow version does not store the work request, and a retry "
                "would start the work a second time. repeatable=True allows that."
            ) from error
