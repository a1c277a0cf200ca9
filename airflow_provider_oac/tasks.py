"""What the operators and sensors share: the check of their arguments, and the arguments that are Airflow's."""

from __future__ import annotations

import functools
from collections.abc import Callable, MutableMapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Required, TypedDict

from airflow_provider_oac._compat import BaseOperator, BaseOperatorMeta
from airflow_provider_oac.arguments import check, normalize

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Context


class TaskArguments(TypedDict, total=False):
    """The arguments of every task: those of Airflow's ``BaseOperator``, for type checkers and editors."""

    task_id: Required[str]
    allow_nested_operators: bool
    dag: Any
    default_args: dict[str, Any] | None
    depends_on_past: bool
    do_xcom_push: bool
    doc: str | None
    doc_json: str | None
    doc_md: str | None
    doc_rst: str | None
    doc_yaml: str | None
    email: str | Sequence[str] | None
    email_on_failure: bool
    email_on_retry: bool
    end_date: datetime | None
    execution_timeout: timedelta | None
    executor: str | None
    executor_config: dict[str, Any] | None
    ignore_first_depends_on_past: bool
    inlets: Any
    logger_name: str | None
    map_index_template: str | None
    max_active_tis_per_dag: int | None
    max_active_tis_per_dagrun: int | None
    max_retry_delay: timedelta | float | None
    multiple_outputs: bool
    on_execute_callback: Any
    on_failure_callback: Any
    on_retry_callback: Any
    on_skipped_callback: Any
    on_success_callback: Any
    outlets: Any
    owner: str
    params: MutableMapping[str, Any] | None
    pool: str | None
    pool_slots: int
    post_execute: Any
    pre_execute: Any
    priority_weight: int
    queue: str
    render_template_as_native_obj: bool | None
    resources: dict[str, Any] | None
    retries: int | None
    retry_delay: timedelta | float
    retry_exponential_backoff: float
    retry_policy: Any
    run_as_user: str | None
    sla: timedelta | None
    start_date: datetime | None
    task_display_name: str | None
    task_group: Any
    trigger_rule: str
    wait_for_downstream: bool
    wait_for_past_depends_before_skipping: bool
    weight_rule: Any


class SensorArguments(TaskArguments, total=False):
    """The arguments of every sensor: those of Airflow's ``BaseSensorOperator``."""

    exponential_backoff: bool
    max_wait: timedelta | float | None
    mode: str
    never_fail: bool
    poke_interval: timedelta | float
    silent_fail: bool
    soft_fail: bool
    timeout: timedelta | float | None


class _Checking(BaseOperatorMeta):
    """Checks arguments when a task is made, with Airflow's default arguments among them, and before it executes."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> Any:
        if "execute" in namespace:
            namespace["execute"] = _checked_first(namespace["execute"])
        made: Any = super().__new__(cls, name, bases, namespace, **kwargs)  # type: ignore[no-untyped-call]
        return made

    if not TYPE_CHECKING:  # For a type checker, the constructor says what the arguments are.

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            made = super().__call__(*args, **kwargs)
            made.check_arguments(rendered=False)
            return made


def _checked_first(execute: Callable[[Any, Context], Any]) -> Callable[[Any, Context], Any]:
    @functools.wraps(execute)
    def checked(self: Any, context: Context) -> Any:
        self.check_arguments(rendered=True)
        return execute(self, context)

    return checked


class CheckedOperator(BaseOperator, metaclass=_Checking):
    """An operator or a sensor whose arguments are checked; see :mod:`airflow_provider_oac.arguments`."""

    ui_color = "#f3e8e6"

    if TYPE_CHECKING:

        @property
        def output(self) -> Any:
            """The result of the task, for the arguments of other tasks, whose annotations say what it is then."""

    def check_arguments(self, *, rendered: bool) -> None:
        """Refuse arguments that do not fit, each by itself and all together.

        :param rendered: whether templates are rendered, and not only read in a DAG.
        :raises OACConfigurationError: naming what does not fit.
        """
        check(self, f"Task {self.task_id!r}", rendered=rendered)
        self.check_together()

    def check_together(self) -> None:
        """Refuse arguments that do not go together; templates may not be rendered yet.

        :raises OACConfigurationError: naming them.
        """

    def execute(self, context: Context) -> Any:
        """Check the rendered arguments; then what the class does."""
        return super().execute(context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a deferral. Templates were rendered anew."""
        normalize(self)
        return super().resume_execution(next_method, next_kwargs, context)
