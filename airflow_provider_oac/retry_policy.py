"""A retry policy that decides by the class of the error; Airflow has retry policies since 3.3."""

from __future__ import annotations

from datetime import timedelta

from airflow_provider_oac import exceptions, lazy
from airflow_provider_oac._compat import Context

try:
    from airflow.sdk import RetryDecision, RetryPolicy
except ImportError as missing:
    raise ImportError(
        "OACRetryPolicy needs Airflow 3.3 or newer, which has retry policies. Upgrade Airflow, or remove "
        "OACRetryPolicy: without it, the task's retries and retry_delay apply to every failure."
    ) from missing

# A retry fails again, unless the error itself says that it is passing: a person must fix something.
_LASTING = (
    exceptions.OACApiError, exceptions.OACAuthError, exceptions.OACConfigurationError,
    exceptions.OACIncompleteListError, exceptions.OACTakenError, exceptions.OACTokenStoreError,
    exceptions.OACTransportError,
)  # fmt: skip


class OACRetryPolicy(RetryPolicy):
    """Retries passing errors, and fails at once on errors that a person must fix.

    Pass it as ``retry_policy`` of any task (Airflow 3.3 and newer). A wait that timed out is retried at once: its work
    continues in OAC, and the next try reattaches to it. A passing error is retried after the time that the server asks
    for, else after the task's ``retry_delay``. An error in the Connection, the arguments, the sign-in or the user's
    rights fails the task. A 409 (something else is running), work that failed in OAC, and all other errors are left to
    the task's own settings. ``retries`` limits all retries.
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide whether to retry; Airflow calls this in the task's process.

        :param exception: the exception that failed the task.
        """
        kind = type(exception).__name__
        if isinstance(exception, exceptions.OACWaitTimeoutError):
            return RetryDecision.retry(timedelta(0), f"{kind}: the work continues; the next try reattaches to it")
        if isinstance(exception, exceptions.OACError) and lazy.errors.passing(exception):
            pause = lazy.polling.asked_pause(exception)
            return RetryDecision.retry(timedelta(seconds=pause) if pause else None, f"{kind}: a temporary error")
        if isinstance(exception, _LASTING) and getattr(exception, "status", None) != 409:
            return RetryDecision.fail(f"{kind}: a person must fix the cause")
        return RetryDecision.default()
