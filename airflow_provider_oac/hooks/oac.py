"""The hook: access to OAC through an Airflow Connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_oac import counters, lazy
from airflow_provider_oac._compat import (
    BaseHook,
    aget_connection,
    amask,
    count,
    mask_secret,
    mask_token,
    report_lineage,
)
from airflow_provider_oac.assets import catalog_uri
from airflow_provider_oac.exceptions import OACAuthError, OACError, OACSetupError, OACTransportError
from airflow_provider_oac.hooks.form import field_behaviour, form_widgets

if TYPE_CHECKING:
    import requests

    from airflow_provider_oac.auth.session import Session
    from airflow_provider_oac.auth.store import StoreEntry
    from airflow_provider_oac.client.api import Api, Work
    from airflow_provider_oac.client.flows.polling import WaitPlan
    from airflow_provider_oac.client.rest.work_requests import WorkRequest
    from airflow_provider_oac.hooks.connection import ConnectionSettings
    from airflow_provider_oac.hooks.connection_test import Report
    from airflow_provider_oac.transport.blocking import BlockingIO
    from airflow_provider_oac.transport.io import IO

T = TypeVar("T")

counters.receiver = count


class OACHook(BaseHook):
    """Talks to Oracle Analytics Cloud.

    Each operation of OAC is a *call* (such as ``snapshots.list_all()`` of
    :mod:`airflow_provider_oac.client.rest.snapshots`) or a *flow* of several calls (such as
    ``polling.wait(work_request_id)``); :meth:`run` runs either in a task, :meth:`arun` on an event loop::

        from airflow_provider_oac.client.rest import snapshots

        hook = OACHook("oac_default")
        for snapshot in hook.run(snapshots.list_all()):
            print(snapshot.name)

    Lists are complete: all pages are read. :meth:`run` returns objects of this package; to put one into XCom, a task
    returns its ``to_dict()``.

    :param oac_conn_id: the Airflow Connection, of the type ``oac``.
    :param stopped: called twice a second while a flow waits. If it returns ``True``, the wait ends with
        :class:`~airflow_provider_oac.exceptions.OACKilledError`.
    :param read_timeout: minimum read timeout of :meth:`run` in seconds, for calls whose response takes long; by
        default the Connection's.
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
        """Fields of the Connection form for Airflow 2.11 and 3.1; newer versions read the provider's metadata."""
        return form_widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Labels of the Connection form for Airflow 2.11 and 3.1."""
        return field_behaviour()

    @cached_property
    def settings(self) -> ConnectionSettings:
        """The Connection's settings. Its secrets are masked in logs.

        :raises OACConfigurationError: if the Connection cannot work, naming the field.
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
        :raises OACError: as the call or flow documents.
        """
        with naming(self.oac_conn_id):
            return lazy.blocking.run(self._api(self.io, self._session).run(work))

    async def arun(self, work: Work[T]) -> T:
        """Make a call or run a flow, on an event loop such as the triggerer's.

        Concurrent calls on one event loop with the same transport settings share one HTTP session.

        :param work: a call or a flow of :mod:`airflow_provider_oac.client`.
        :returns: its result.
        :raises OACError: as the call or flow documents.
        """
        settings = await self._asettings()
        # The first read of Airflow's settings may run a command or ask a secrets backend.
        store_entry = await asyncio.to_thread(lambda: self.store_entry)
        with naming(self.oac_conn_id):
            async with lazy.shared_poller.shared_io(settings.transport) as io:
                session = lazy.session.Session(settings.auth, store_entry=store_entry)
                return await self._api(io, session).run(work)

    def wait(self, work_request_id: str, plan: WaitPlan | None = None) -> WorkRequest:
        """Wait in a task until a work request succeeds, and log its changes of state.

        :param work_request_id: ID of the work request.
        :param plan: the deadline and the pauses between polls; by default there is no deadline.
        :returns: the work request, which succeeded.
        :raises OACWorkRequestError: if it failed, with OAC's error messages.
        :raises OACWaitTimeoutError: if the plan's deadline passed first.
        """
        return self.run(lazy.polling.wait(work_request_id, plan or lazy.polling.WaitPlan()))

    def get_conn(self) -> requests.Session:
        """Return a signed-in ``requests.Session`` for parts of the API that this package does not wrap.

        It takes paths below the API's base (``session.get("/catalog", params={"search": "*"})``) or complete URLs
        of this instance. It attaches a token to each request, and renews it and sends the request once more if OAC
        refuses the token. It verifies TLS as the Connection specifies, follows no redirects, and refuses requests to
        any other host.
        """
        return lazy.requests_session.InstanceSession(
            self.io, self.settings.address, self._session, self.settings.transport
        )

    def access_token(self) -> str:
        """Return a valid access token, for embedding and other tools. It is masked in this task's logs.

        It may expire within a minute (Oracle's default lifetime is 100 s), so request one only when you need it.

        :raises OACAuthError: if the identity domain refuses to issue one.
        """
        with naming(self.oac_conn_id):
            token = lazy.blocking.run(self._session.token(self.io)).access_token
        mask_secret(token)
        return token

    def test_connection(self) -> tuple[bool, str]:
        """Sign in without cached tokens and ask OAC what the user may do.

        Airflow tests the Connection in its form under a temporary ID, so the texts name no ID.

        :returns: whether the Connection works, and the findings or the next step.
        """
        report = self.check().unnamed()
        # Airflow's command line shows the text only on failure. With --verbose it also shows log lines, but not those
        # of the hook's own logger, which is for tasks.
        log = logging.getLogger(__name__)
        for step in report.steps:
            level = logging.INFO if step.state in ("ok", "note") else logging.WARNING
            log.log(level, "Connection test, %s: %s", step.name, step.text)
        return report.works, str(report)

    def check(self) -> Report:
        """Test the Connection step by step; see :mod:`airflow_provider_oac.hooks.connection_test`.

        It raises no :class:`~airflow_provider_oac.exceptions.OACError`. It starts an event loop, so call it only where
        no event loop is running.
        """
        try:
            settings = self.settings
        except OACError as error:
            return lazy.connection_test.unreadable(self.oac_conn_id, str(error))
        return asyncio.run(lazy.connection_test.check(settings, lambda: self.store_entry))

    @cached_property
    def store_entry(self) -> StoreEntry | None:
        """The entry for this Connection's tokens in the shared token store; ``None`` if there is no shared store.

        :raises OACConfigurationError: if the deployment's settings for the store cannot work.
        """
        return lazy.stores.store_entry_of(self.settings)

    @cached_property
    def io(self) -> BlockingIO:
        """This hook's driver, for flows that do not call OAC's REST API, such as a sign-in."""
        transport = self.settings.transport
        patience = max(transport.read_timeout, self._read_timeout)
        return lazy.blocking.BlockingIO(replace(transport, read_timeout=patience), self._stopped)

    @property
    def _mask_token(self) -> Callable[[str], None]:
        """The function that masks this Connection's tokens in the logs of this process."""
        return mask_token

    def _api(self, io: IO, session: Session) -> Api:
        return lazy.api.Api(io, self.settings.address, session, report=self.log.info, on_read=self._report_read)

    def _report_read(self, item: str) -> None:
        """Report an item of the catalog to hook lineage, as read."""
        report_lineage("input", self, catalog_uri(self.settings.address, item))

    @cached_property
    def _session(self) -> Session:
        return lazy.session.Session(self.settings.auth, store_entry=self.store_entry)

    async def _asettings(self) -> ConnectionSettings:
        """Read the settings without blocking the event loop."""
        if "settings" not in self.__dict__:
            mask = lazy.token_mask.mask_tokens_of(self.oac_conn_id)
            settings = lazy.connection.read_connection(await aget_connection(self.oac_conn_id), mask)
            await amask(settings.auth.secrets)
            self._tell(settings)
            self.settings = settings
        return self.settings

    def _tell(self, settings: ConnectionSettings) -> None:
        """Log the Connection's warnings."""
        for text in settings.warnings:
            self.log.warning("Connection %r: %s", self.oac_conn_id, text)


@contextmanager
def naming(conn_id: str) -> Iterator[None]:
    """Name the Connection in errors about its key, certificates, sign-in or network path."""
    try:
        yield
    except OACError as error:
        name_connection(error, conn_id)
        raise


def name_connection(error: OACError, conn_id: str) -> None:
    """Name the Connection in an error about its key, certificates, sign-in or network path."""
    if isinstance(error, OACAuthError | OACSetupError | OACTransportError):
        error.of(f"Connection {conn_id!r}")
