"""Whether to wait in the worker or in the triggerer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_oac import lazy

if TYPE_CHECKING:
    from airflow_provider_oac.client.flows.polling import PollTarget
    from airflow_provider_oac.hooks.oac import OACHook

# A deferral takes ten seconds or more: a task that ends, a trigger that begins, at least five seconds, a new process.
# So a worker waits some seconds itself; zero is for tests, which defer at once.
WORKER_SECONDS = 3.0


def over_soon(hook: OACHook, target: PollTarget[Any]) -> bool:
    """Poll for some seconds, once at least: is it done?

    A failure counts as done, too: the caller polls again and judges. It is also what keeps a task from deferring for
    work that is done, whose trigger would fire before Airflow's scheduler has noticed the deferral.
    """
    if WORKER_SECONDS <= 0:
        return False
    return hook.run(lazy.polling.done_within(target, WORKER_SECONDS))
