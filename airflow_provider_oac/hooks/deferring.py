"""Whether to wait in the worker or in the triggerer."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_oac.client.waiting import Watch
    from airflow_provider_oac.hooks.oac import OACHook

log = logging.getLogger(__name__)

# A deferral takes ten seconds or more: a task that ends, a trigger that begins, at least five seconds, a new process.
# So a worker waits some seconds itself; zero is for tests, which defer at once.
WORKER_SECONDS = 3.0
# Work that took no longer than this in earlier runs is waited for in the worker.
SHORT_SECONDS = 15.0


def over_soon(hook: OACHook, watch: Watch[Any], earlier: Sequence[float] = ()) -> bool:
    """Look, once at least, and for some seconds unless the work is known to be long, whether a watch is over.

    A failure counts as over, too: who goes on looks again and judges. It is also what keeps a task from deferring for
    work that is done, whose trigger would fire before Airflow's scheduler has noticed the deferral.

    :param earlier: seconds that earlier runs took.
    """
    from airflow_provider_oac.client.waiting import over_within

    if WORKER_SECONDS <= 0:
        return False
    patience = WORKER_SECONDS
    if earlier:
        usual = statistics.median(earlier)
        patience = 1.5 * usual + WORKER_SECONDS if usual <= SHORT_SECONDS else 0.0
    return hook.run(over_within(watch, patience))


def needs_no_trigger(conn_id: str, watch: Callable[[], Watch[Any]]) -> bool:
    """Whether a sensor need not defer: what it waits for is there soon, or cannot be asked for at all.

    A sensor that does not defer looks by itself, which raises whatever is wrong where ``never_fail`` and
    ``silent_fail`` apply to it.

    :param conn_id: the Airflow Connection.
    :param watch: makes what is waited for; a wrong argument may raise.
    """
    from airflow_provider_oac.exceptions import OACKilledError
    from airflow_provider_oac.hooks.oac import OACHook

    try:
        return over_soon(OACHook(conn_id), watch())
    except OACKilledError:
        raise
    except Exception as error:
        log.warning(
            "Connection %r: the first poll failed, so the sensor pokes in the worker instead of deferring. %s: %s",
            conn_id, type(error).__name__, error,
        )  # fmt: skip
        return True
