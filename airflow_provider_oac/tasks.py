"""The base classes of operators, sensors and notifiers, which declare their arguments and check them.

A class declares its arguments as attributes, as a dataclass does::

    class OACThingOperator(OACBaseOperator):
        bucket: Template[str]
        region: Template[str | None] = None
        recursive: bool = False

The annotation says which values an argument accepts (see :mod:`airflow_provider_oac.arguments`), and ``Template`` says
that Airflow renders templates in it. The metaclass derives the constructor, ``template_fields`` and the check before
anything is sent.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, MutableMapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, dataclass_transform

from airflow_provider_oac._compat import BaseOperator, BaseOperatorMeta
from airflow_provider_oac.arguments import Alias, Declaration, argument, check
from airflow_provider_oac.exceptions import OACConfigurationError

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Context

    # Placeholder for the default of one of Airflow's own arguments.
    _AIRFLOWS: Any = None


@dataclass_transform(kw_only_default=True, field_specifiers=(argument,))
class Declared(type):
    """Makes the constructor of a class that declares its arguments, and checks them when an object is created."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> Any:
        if "__init__" not in namespace:
            # Bases that declare no arguments, such as a user's mixins, may come first.
            declaring = [base for base in bases if hasattr(base, "_declared")]
            _refuse_arguments_of_others(name, declaring)
            # A user's subclass is an ordinary class: its annotations declare no arguments.
            ours = namespace["__module__"].startswith(f"{__package__}.")
            if ours and (own := _declarations(namespace)):
                _declare((declaring or bases)[0], namespace, own)
        return super().__new__(cls, name, bases, namespace, **kwargs)

    if not TYPE_CHECKING:  # Type checkers know the arguments from the attributes.

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            made = super().__call__(*args, **kwargs)
            made.check_arguments(rendered=False)
            return made


def _refuse_arguments_of_others(name: str, declaring: list[Any]) -> None:
    """Refuse a class with arguments that only a later base declares: the first one's constructor ignores them.

    :param declaring: the bases that declare arguments.
    :raises TypeError: naming the base.
    """
    for base in declaring[1:]:
        if missing := {item.name for item in base._declared} - {item.name for item in declaring[0]._declared}:
            raise TypeError(
                f"{name} cannot take {', '.join(sorted(missing))} from {base.__name__}: only the first base class may "
                "declare arguments. Write an __init__ that sets them, or make one base derive from the other."
            )


def _declarations(namespace: dict[str, Any]) -> list[Declaration]:
    """The arguments that a class declares itself."""
    found = []
    for attribute, annotation in namespace.get("__annotations__", {}).items():
        if attribute.startswith("_") or str(annotation).startswith("ClassVar"):
            continue
        default = namespace.get(attribute, inspect.Parameter.empty)
        name = attribute
        if isinstance(default, Alias):
            name, default = default.name, default.default
            namespace[attribute] = default
        found.append(Declaration(name, attribute, default, annotation))
    return found


def _declare(base: Any, namespace: dict[str, Any], own: list[Declaration]) -> None:
    """Give a class its constructor.

    Airflow reads the default arguments of a DAG once for each constructor that is called. So this constructor sets the
    arguments of the bases as well, and calls the first constructor that is not made here.
    """
    above: Any = base.__init__
    built_on = getattr(above, "built_on", None)
    arguments = {item.name: item for item in (*(base._declared if built_on else ()), *own)}
    parent: Any = built_on or above
    required = {name for name, item in arguments.items() if item.default is inspect.Parameter.empty}

    def __init__(self: Any, **kwargs: Any) -> None:
        # Airflow checks this for operators only.
        if missing := required - kwargs.keys():
            raise TypeError(f"{type(self).__name__} needs {', '.join(sorted(missing))}")
        given = {item.attribute: kwargs.pop(name, item.default) for name, item in arguments.items()}
        parent(self, **{**self._airflow_defaults, **kwargs})
        for attribute, value in given.items():
            setattr(self, attribute, value)
        self.__post_init__()

    shown = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=item.default, annotation=item.annotation)
        for name, item in arguments.items()
    ]
    whole = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    rest = inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)
    constructor: Any = __init__
    constructor.__qualname__ = f"{namespace['__qualname__']}.__init__"
    constructor.__signature__ = inspect.Signature([whole, *shown, rest])
    constructor.built_on = parent
    namespace.update(__init__=constructor, _own_arguments=tuple(own), _declared=tuple(arguments.values()))
    namespace.setdefault(
        "template_fields", tuple(item.attribute for item in arguments.values() if "Template[" in str(item.annotation))
    )


class Checked:
    """Base of every class that declares arguments and checks them."""

    # Defaults of Airflow's own arguments, which take precedence over the default arguments of a DAG.
    _airflow_defaults: ClassVar[dict[str, Any]] = {}

    @property
    def _who(self) -> str:
        """Name of the object in messages."""
        return type(self).__name__

    def __post_init__(self) -> None:
        """Finish an object that was created, before its arguments are checked; for subclasses to override."""

    def check_arguments(self, *, rendered: bool) -> None:
        """Refuse arguments that do not fit by themselves or together.

        :param rendered: whether templates have been rendered; ``False`` while a DAG is parsed.
        :raises OACConfigurationError: naming what does not fit.
        """
        check(self, self._who, rendered=rendered)
        try:
            self.check_together()
        except OACConfigurationError as error:
            error.of(self._who)
            raise

    def check_together(self) -> None:
        """Refuse arguments that do not fit together; templates may not be rendered yet.

        :raises OACConfigurationError: naming the arguments. :meth:`check_arguments` adds the task.
        """


# Repeated for mypy, which does not look at the bases of a metaclass.
@dataclass_transform(kw_only_default=True, field_specifiers=(argument,))
class _Task(Declared, BaseOperatorMeta):
    """Also checks arguments before a task executes."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> Any:
        if "execute" in namespace:
            namespace["execute"] = _checked_first(namespace["execute"])
        return super().__new__(cls, name, bases, namespace, **kwargs)


def _checked_first(execute: Callable[[Any, Context], Any]) -> Callable[[Any, Context], Any]:
    @functools.wraps(execute)
    def checked(self: Any, context: Context) -> Any:
        self.check_arguments(rendered=True)
        return execute(self, context)

    return checked


class CheckedOperator(BaseOperator, Checked, metaclass=_Task):
    """An operator or a sensor whose arguments are declared and checked."""

    ui_color = "#f3e8e6"

    if TYPE_CHECKING:
        # Arguments of every task that Airflow declares too narrowly for type checkers, or not at all.
        dag: Any = _AIRFLOWS
        inlets: Any = _AIRFLOWS
        max_retry_delay: timedelta | float | None = _AIRFLOWS
        on_execute_callback: Any = _AIRFLOWS
        on_failure_callback: Any = _AIRFLOWS
        on_retry_callback: Any = _AIRFLOWS
        on_skipped_callback: Any = _AIRFLOWS
        on_success_callback: Any = _AIRFLOWS
        outlets: Any = _AIRFLOWS
        params: MutableMapping[str, Any] | None = _AIRFLOWS  # type: ignore[assignment]
        pool: str | None = _AIRFLOWS  # type: ignore[assignment]
        retry_delay: timedelta | float = _AIRFLOWS  # type: ignore[assignment]
        sla: timedelta | None = _AIRFLOWS
        task_display_name: str | None = _AIRFLOWS  # type: ignore[assignment]
        task_group: Any = _AIRFLOWS
        trigger_rule: str = _AIRFLOWS  # type: ignore[assignment]
        weight_rule: Any = _AIRFLOWS

        @property
        def output(self) -> Any:
            """The result of the task, to pass as an argument of other tasks."""

    @property
    def _who(self) -> str:
        return f"Task {self.task_id!r}"

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Continue after a deferral, before which Airflow has rendered the templates again."""
        check(self, self._who, rendered=True, refuse=False)
        return super().resume_execution(next_method, next_kwargs, context)
