"""Whether to wait in the worker or in the triggerer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_oac import lazy

if TYPE_CHECKING:
    from airflow_provider_oac.client.flows.polling import PollTarget
    from airflow_provider_oac.hooks.oac import OACHook

# Seconds that a worker polls before the task defers. A deferral takes ten seconds or more: the task ends, a trigger
# starts and first polls after five seconds, and then a new process starts. Tests set zero to defer at once.
WORKER_SECONDS = 3.0


def over_soon(hook: OACHook, target: PollTarget[Any]) -> bool:
    """Poll at least once and for a few seconds, and return whether the work is done.

    A failure counts as done, because the caller polls again and handles it. This check also prevents a deferral for
    work that is already done: the trigger would fire before Airflow's scheduler has noticed the deferral.
    """
    if WORKER_SECONDS <= 0:
        return False
    return hook.run(lazy.polling.done_within(target, WORKER_SECONDS))
