"""A retry policy made from the tree of errors. Airflow has retry policies since 3.3."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.sdk import RetryDecision, RetryPolicy

from airflow_provider_oac import lazy
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACAuthError,
    OACConfigurationError,
    OACError,
    OACIncompleteListError,
    OACTakenError,
    OACTokenStoreError,
    OACTransportError,
    OACWaitTimeoutError,
)

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Context

# The same again, unless the error itself says that it passes. A person has to mend something.
_LASTING = (
    OACApiError, OACAuthError, OACConfigurationError, OACIncompleteListError, OACTakenError, OACTokenStoreError,
    OACTransportError,
)  # fmt: skip


class OACRetryPolicy(RetryPolicy):
    """Retries what passes, and fails at once what a person must mend. For ``retry_policy`` of any task, Airflow 3.3+.

    A wait that timed out is retried at once: its work continues in OAC, and the next try reattaches to it. An error
    that passes is retried after the time for which the server asks, else after the task's ``retry_delay``. An error of
    the Connection, the arguments, the sign-in or the user's rights fails the task. A 409 (something else is running),
    work that failed in OAC, and errors of others are left to the task's own settings. ``retries`` limits all of them.
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide; called by Airflow in the task's process.

        :param exception: what failed the task.
        """
        kind = type(exception).__name__
        if isinstance(exception, OACWaitTimeoutError):
            return RetryDecision.retry(timedelta(0), f"{kind}: its work continues; the next try reattaches to it")
        if isinstance(exception, OACError) and lazy.errors.passing(exception):
            asked = lazy.polling.asked_pause(exception)
            return RetryDecision.retry(timedelta(seconds=asked) if asked else None, f"{kind}: it passes")
        if isinstance(exception, _LASTING) and getattr(exception, "status", None) != 409:
            return RetryDecision.fail(f"{kind}: a person must mend it")
        return RetryDecision.default()
