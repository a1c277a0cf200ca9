"""The hook: OAC by an Airflow Connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_oac import counters, lazy
from airflow_provider_oac._compat import BaseHook, aget_connection, amask, count, mask_secret, mask_token
from airflow_provider_oac.exceptions import OACAuthError, OACError, OACSetupError, OACTransportError
from airflow_provider_oac.hooks.form import field_behaviour, form_widgets

if TYPE_CHECKING:
    import requests

    from airflow_provider_oac.auth.session import Session
    from airflow_provider_oac.auth.store import StoreEntry
    from airflow_provider_oac.client.api import Work
    from airflow_provider_oac.client.flows.polling import WaitPlan
    from airflow_provider_oac.client.rest.work_requests import WorkRequest
    from airflow_provider_oac.hooks.connection import ConnectionSettings
    from airflow_provider_oac.hooks.connection_test import Report
    from airflow_provider_oac.transport.blocking import BlockingIO

T = TypeVar("T")

counters.receiver = count


class OACHook(BaseHook):
    """Talks to Oracle Analytics Cloud.

    Everything that OAC can do is a *call* (such as ``snapshots.list_all()`` of
    :mod:`airflow_provider_oac.client.rest.snapshots`) or a *flow* of several calls (such as
    ``polling.wait(work_request_id)``); :meth:`run` runs either in a task, :meth:`arun` on an event loop::

        from airflow_provider_oac.client.rest import snapshots

        hook = OACHook("oac_default")
        for snapshot in hook.run(snapshots.list_all()):
            print(snapshot.name)

    Lists come whole. What :meth:`run` returns are objects of this package; a task that wants them in XCom returns their
    ``to_dict()``.

    :param oac_conn_id: the Airflow Connection, of the type ``oac``.
    :param stopped: asked twice a second while a flow waits; when it says yes, the wait ends with
        :class:`~airflow_provider_oac.exceptions.OACKilledError`.
    :param read_timeout: seconds of silence that :meth:`run` bears at least, for calls whose response takes long; by
        default what the Connection says.
    """

    conn_name_attr = "oac_conn_id"
    default_conn_name = "oac_default"
    conn_type = "oac"
    hook_name = "Oracle Analytics Cloud"

    def __init__(
        self,
        oac_conn_id: str = default_conn_name,
        *,
        stopped: Callable[[], bool] = lambda: False,
        read_timeout: float = 0.0,
    ) -> None:
        super().__init__()
        self.oac_conn_id = oac_conn_id
        self._stopped = stopped
        self._read_timeout = read_timeout

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Fields of the Connection form for Airflow 2.11 and 3.1; newer ones read the provider's metadata."""
        return form_widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Labels of the Connection form for Airflow 2.11 and 3.1."""
        return field_behaviour()

    @cached_property
    def settings(self) -> ConnectionSettings:
        """What the Connection says, its secrets masked in logs.

        :raises OACConfigurationError: if it cannot work, naming the field.
        """
        settings = lazy.connection.read_connection(self.get_connection(self.oac_conn_id), self._mask_token)
        for secret in settings.auth.secrets:
            mask_secret(secret)
        self._tell(settings)
        return settings

    def run(self, work: Work[T]) -> T:
        """Make a call or run a flow, in a task.

        :param work: a call or a flow of :mod:`airflow_provider_oac.client`.
        :returns: its result.
        :raises OACError: as the call or flow says.
        """
        with naming(self.oac_conn_id):
            return lazy.blocking.run(
                lazy.api.Api(self.io, self.settings.address, self._session, report=self.log.info).run(work)
            )

    async def arun(self, work: Work[T]) -> T:
        """Make a call or run a flow, on an event loop such as the triggerer's.

        All that runs at one time on a loop with the same transport settings shares one HTTP session.

        :param work: a call or a flow of :mod:`airflow_provider_oac.client`.
        :returns: its result.
        :raises OACError: as the call or flow says.
        """
        settings = await self._asettings()
        # Reading Airflow's settings may run a command or ask a secrets backend, the first time.
        store_entry = await asyncio.to_thread(lambda: self.store_entry)
        with naming(self.oac_conn_id):
            async with lazy.shared_poller.shared_io(settings.transport) as io:
                session = lazy.session.Session(settings.auth, store_entry=store_entry)
                return await lazy.api.Api(io, settings.address, session, report=self.log.info).run(work)

    def wait(self, work_request_id: str, plan: WaitPlan | None = None) -> WorkRequest:
        """Wait for a work request, in a task; its changes of state are logged.

        :param work_request_id: id of the work request.
        :param plan: how long and how patiently; by default without a deadline.
        :returns: the work request, which succeeded.
        :raises OACWorkRequestError: if it failed, with OAC's own errors.
        :raises OACWaitTimeoutError: if the plan's deadline came first.
        """
        return self.run(lazy.polling.wait(work_request_id, plan or lazy.polling.WaitPlan()))

    def get_conn(self) -> requests.Session:
        """A ``requests.Session`` for what is not wrapped yet: signed in, and bound to this instance.

        It takes paths below the API's base (``session.get("/catalog", params={"search": "*"})``) or complete URLs
        of this instance, attaches a token to each request, renews it and replays the request once if OAC refuses the
        token, verifies TLS as the Connection says, follows no redirect, and refuses to send anything to another host.
        """
        return lazy.requests_session.InstanceSession(
            self.io, self.settings.address, self._session, self.settings.transport
        )

    def access_token(self) -> str:
        """An access token that works now, for embedding and other tools. Masked in this task's logs.

        It may live for less than a minute (Oracle's default is 100 s in all): get one when it is needed.

        :raises OACAuthError: if the identity domain refuses.
        """
        with naming(self.oac_conn_id):
            token = lazy.blocking.run(self._session.token(self.io)).access_token
        mask_secret(token)
        return token

    def test_connection(self) -> tuple[bool, str]:
        """Sign in past every cache and ask OAC what the user may do.

        Airflow tests the Connection in its form under a throwaway id, so that the texts name none.

        :returns: whether it works, and what was found or what to do next.
        """
        report = self.check().unnamed()
        # Airflow's command line shows the text on failure only. With --verbose it shows what is logged, but not by the
        # hook's own logger, which belongs to tasks.
        log = logging.getLogger(__name__)
        for step in report.steps:
            level = logging.INFO if step.state in ("ok", "note") else logging.WARNING
            log.log(level, "Connection test, %s: %s", step.name, step.text)
        return report.works, str(report)

    def check(self) -> Report:
        """Try the Connection step by step; see :mod:`airflow_provider_oac.hooks.connection_test`. Raises nothing of
        ours.

        It runs an event loop: call it where none runs.
        """
        try:
            settings = self.settings
        except OACError as error:
            return lazy.connection_test.unreadable(self.oac_conn_id, str(error))
        return asyncio.run(lazy.connection_test.check(settings, lambda: self.store_entry))

    @cached_property
    def store_entry(self) -> StoreEntry | None:
        """Where this Connection's tokens are kept for other processes; ``None`` if nowhere.

        :raises OACConfigurationError: if the deployment's settings for it cannot work.
        """
        return lazy.stores.store_entry_of(self.settings)

    @cached_property
    def io(self) -> BlockingIO:
        """The driver of this hook, for flows that are none of OAC's, such as a sign-in."""
        transport = self.settings.transport
        patience = max(transport.read_timeout, self._read_timeout)
        return lazy.blocking.BlockingIO(replace(transport, read_timeout=patience), self._stopped)

    @property
    def _mask_token(self) -> Callable[[str], None]:
        """What masks this Connection's tokens in the logs of this process."""
        return mask_token

    @cached_property
    def _session(self) -> Session:
        return lazy.session.Session(self.settings.auth, store_entry=self.store_entry)

    async def _asettings(self) -> ConnectionSettings:
        """The settings, read without blocking the loop."""
        if "settings" not in self.__dict__:
            mask = lazy.token_mask.mask_tokens_of(self.oac_conn_id)
            settings = lazy.connection.read_connection(await aget_connection(self.oac_conn_id), mask)
            await amask(settings.auth.secrets)
            self._tell(settings)
            self.settings = settings
        return self.settings

    def _tell(self, settings: ConnectionSettings) -> None:
        """Log what is odd about the Connection."""
        for text in settings.warnings:
            self.log.warning("Connection %r: %s", self.oac_conn_id, text)


@contextmanager
def naming(conn_id: str) -> Iterator[None]:
    """Name the Connection in what goes wrong with its key, its certificates, its sign-in or the way to its servers."""
    try:
        yield
    except OACError as error:
        name_connection(error, conn_id)
        raise


def name_connection(error: OACError, conn_id: str) -> None:
    """Name the Connection in an error of its key, its certificates, its sign-in or the way to its servers."""
    if isinstance(error, OACAuthError | OACSetupError | OACTransportError):
        error.of(f"Connection {conn_id!r}")
