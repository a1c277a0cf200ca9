"""Differences between the supported Airflow versions, 2.11 and 3.1 to 3.3: all version checks are here."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # fmt: off
    # isort: off
    from airflow.sdk import (
        Asset, AssetAlias, BaseHook, BaseOperator, BaseOperatorLink, BaseSensorOperator, Connection, Context,
        ObjectStoragePath, PokeReturnValue,
    )
    from airflow.sdk.bases.notifier import BaseNotifier
    from airflow.sdk.bases.operator import BaseOperatorMeta
    from airflow.sdk.exceptions import (
        AirflowFailException, AirflowNotFoundException, AirflowSensorTimeout, AirflowSkipException,
    )
    from airflow.sdk.log import mask_secret
    # fmt: on
    # isort: on

log = logging.getLogger(__name__)

# The modules that may define each name, the newest Airflow's first. A name is imported on first use: a DAG needs few of
# them when it is parsed, and some take longer than this whole package (for BaseNotifier, Airflow reads its
# configuration).
_EXCEPTIONS = ("airflow.sdk.exceptions", "airflow.exceptions")  # the second before Airflow 3.2
_PLACES: dict[str, tuple[str, ...]] = {
    "AirflowFailException": _EXCEPTIONS,
    "AirflowNotFoundException": _EXCEPTIONS,
    "AirflowSensorTimeout": _EXCEPTIONS,
    "AirflowSkipException": _EXCEPTIONS,
    # For these, the second module is Airflow 2.11's. A third item is the name there, if it differs.
    "Asset": ("airflow.sdk", "airflow.datasets", "Dataset"),
    "AssetAlias": ("airflow.sdk", "airflow.datasets", "DatasetAlias"),
    "BaseHook": ("airflow.sdk", "airflow.hooks.base"),
    "BaseNotifier": ("airflow.sdk.bases.notifier", "airflow.notifications.basenotifier"),
    "BaseOperator": ("airflow.sdk", "airflow.models.baseoperator"),
    "BaseOperatorMeta": ("airflow.sdk.bases.operator", "airflow.models.baseoperator"),
    "BaseOperatorLink": ("airflow.sdk", "airflow.models.baseoperatorlink"),
    "BaseSensorOperator": ("airflow.sdk", "airflow.sensors.base"),
    "Connection": ("airflow.sdk", "airflow.models.connection"),
    "Context": ("airflow.sdk", "airflow.utils.context"),
    "ObjectStoragePath": ("airflow.sdk", "airflow.io.path"),
    "PokeReturnValue": ("airflow.sdk", "airflow.sensors.base"),
    "get_hook_lineage_collector": ("airflow.sdk.lineage", "airflow.lineage.hook"),  # the second before Airflow 3.2
    "conf": ("airflow.sdk.configuration", "airflow.configuration"),  # the second before Airflow 3.2
    "mask_secret": ("airflow.sdk.log", "airflow.utils.log.secrets_masker"),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    newest, older, *renamed = _PLACES[name]
    try:
        found = getattr(import_module(newest), name)
    except (ImportError, AttributeError):
        found = getattr(import_module(older), *renamed or [name])
    globals()[name] = found
    return found


# Code in this module looks the names up here: as globals, they do not exist before their first use.
_compat: Any = sys.modules[__name__]


async def aget_connection(conn_id: str) -> Connection:
    """Get a Connection on an event loop.

    Airflow 2.11 has no asynchronous call. Before 3.3.2 that call masks secrets with a synchronous call to the
    supervisor, which fails while another call is in progress. On these versions, a thread makes the synchronous call.
    It also does if the asynchronous call finds no Connection: ``airflow dags test`` of 3.3 has no asynchronous access
    to the database.
    """
    hook = _compat.BaseHook
    if hasattr(_compat.Connection, "aextra_dejson"):
        with suppress(_compat.AirflowNotFoundException):
            found: Connection = await hook.aget_connection(conn_id)
            return found
    found = await _in_thread(hook.get_connection, conn_id)
    return found


async def amask(secrets: tuple[str, ...]) -> None:
    """Mask secrets in logs, on an event loop."""
    try:
        # Only Airflow 3.3.2 and newer have it.
        from airflow.sdk.log import amask_secret
    except ImportError:  # before Airflow 3.3.2
        for secret in secrets:
            await _in_thread(_compat.mask_secret, secret)
    else:
        for secret in secrets:
            await amask_secret(secret)


async def _in_thread(function: Callable[[str], Any], text: str) -> Any:
    # Parsing a DAG does not need it.
    from asgiref.sync import sync_to_async

    return await sync_to_async(function)(text)


def mask_token(token: str) -> None:
    """Mask a token or an assertion in logs, in a task or a command.

    It registers only the end of the token, without which the rest is worthless. Airflow's masker drops no pattern and
    compiles all of them again at each call, 3 ms for each token of usual size, and a task may see many tokens. On an
    event loop, use :mod:`airflow_provider_oac.hooks.token_mask`.
    """
    _compat.mask_secret(token[-64:])


@cache
def default_deferrable() -> bool:
    """The deployment's ``[operators] default_deferrable``, read once per process.

    Reading it takes a quarter of the time in which Airflow creates a whole task.
    """
    return bool(_compat.conf.getboolean("operators", "default_deferrable", fallback=False))


def deferral_error(next_method: str, next_kwargs: dict[str, Any] | None) -> str | None:
    """The error of a trigger that failed or a deferral that timed out; ``None`` if the trigger fired.

    :param next_method: the method that Airflow is about to call; ``__fail__`` after an error.
    :param next_kwargs: its arguments.
    """
    if next_method != "__fail__":
        return None
    given = next_kwargs or {}
    # After a timeout, Airflow 2.11 says "Trigger/execution timeout", newer versions "Trigger timeout".
    return "\n".join([*(given.get("traceback") or ()), str(getattr(given.get("error"), "value", given.get("error")))])


def setting(section: str, option: str) -> str:
    """One of the deployment's settings, from ``airflow.cfg`` or the environment; empty if it is unset."""
    return str(_compat.conf.get(section, option, fallback=None) or "").strip()


@contextmanager
def log_group(log: Any, title: str) -> Iterator[None]:
    """Put the log lines of a block into a group, which Airflow's log view can fold (in every supported version)."""
    log.info("::group::%s", title)
    try:
        yield
    finally:
        log.info("::endgroup::")


def count(name: str) -> None:
    """Count an event in Airflow's metrics."""
    _metrics().incr(name)


@cache
def _metrics() -> Any:
    """Airflow's metrics client.

    Since 3.2, tasks and the triggerer use different copies of the module, and each process configures only one of them.
    """
    triggerer = "airflow.jobs.triggerer_job_runner" in sys.modules
    try:
        return import_module(f"airflow.{'' if triggerer else 'sdk.'}observability.stats").Stats
    except ImportError:  # before Airflow 3.2
        return import_module("airflow.stats").Stats


def report_lineage(side: str, context: Any, uri: str) -> None:
    """Report what was read or written to Airflow's collector of hook lineage, which most deployments do not read.

    An error from lineage or from Airflow's check of the URI is logged: it must not fail the task.

    :param side: ``input`` or ``output``.
    :param context: what read or wrote it: a hook or an ``ObjectStoragePath``.
    :param uri: its URI.
    """
    try:
        collector = _compat.get_hook_lineage_collector()
        # Airflow 2.11 calls an asset a dataset.
        kind = "asset" if hasattr(collector, f"add_{side}_asset") else "dataset"
        getattr(collector, f"add_{side}_{kind}")(context=context, uri=uri)
    except Exception as problem:
        log.warning("The %s %s could not be reported as lineage: %s", side, uri, problem)


def object_storage_path(url: str, conn_id: str | None = None) -> Any:
    """Make an ``ObjectStoragePath``, whose module loads some 10 MB, so only a running task imports it."""
    return _compat.ObjectStoragePath(url, conn_id=conn_id) if conn_id else _compat.ObjectStoragePath(url)


def order_began(context: Context, first_try: int) -> float | None:
    """When a task's first try since its last Clear began, in seconds since the epoch; ``None`` if it is unknown.

    Airflow 2.11 keeps a history of tries. In Airflow 3 a task cannot read the history, so the result is the begin of
    the DAG run, which is earlier. If there is a task state store, its record is more precise.

    :param first_try: number of that try.
    """
    ti: Any = context["ti"]
    began = getattr(context.get("dag_run"), "start_date", None)
    if is_airflow_2():
        # Airflow 2.11 only.
        from airflow.models.taskinstancehistory import TaskInstanceHistory
        from airflow.utils.session import create_session
        from sqlalchemy.exc import SQLAlchemyError

        which = {name: getattr(ti, name) for name in ("dag_id", "task_id", "run_id", "map_index")}
        # If the history cannot be read, the begin of the DAG run remains.
        with suppress(SQLAlchemyError), create_session() as session:
            query = session.query(TaskInstanceHistory).filter_by(**which, try_number=first_try)
            row = query.order_by(TaskInstanceHistory.start_date).first()
            began = row.start_date if row is not None and row.start_date else began
    return None if began is None else float(began.timestamp())


def task_state_store(context: Context) -> Any:
    """Airflow's store of task state, which outlives a try; ``None`` before Airflow 3.3."""
    return context.get("task_state_store")


def frames_have_addresses() -> bool:
    """Whether Airflow's UI has an address for each page inside a plugin's frame, as it has since 3.3."""
    # Only the web server calls this.
    from airflow import __version__

    return tuple(map(int, __version__.split(".")[:2])) >= (3, 3)


def is_airflow_2() -> bool:
    """Whether this is Airflow 2.11, whose UI shows no pages of this provider."""
    return find_spec("airflow.sdk") is None


def xcom_value(ti_key: Any, key: str) -> Any:
    """Read a task's XCom for an extra link in the web server of Airflow 2.11; ``None`` in Airflow 3.

    In Airflow 3 the web server reads the XCom itself. A task's process would log a missing XCom as an error.
    """
    if is_airflow_2():
        # Airflow 2.11 only.
        from airflow.models.xcom import XCom

        return XCom.get_value(key=key, ti_key=ti_key)
    return None
