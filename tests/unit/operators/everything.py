"""All operators, sensors and notifiers, found by walking the modules, so that a new one is in every test of all."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from datetime import timedelta
from typing import Any

from airflow_provider_oac import notifications, operators, sensors, triggers
from airflow_provider_oac._compat import BaseNotifier, BaseOperator
from airflow_provider_oac.arguments import Argument, arguments_of

# What goes together, where each argument by itself is not enough.
TOGETHER: dict[str, dict[str, Any]] = {
    "OACMailServerOperator": {"absent": True},
    "OACPruneSnapshotsOperator": {"keep_last": 1},
}


def _in(package: Any) -> list[Any]:
    modules = [
        importlib.import_module(f"{package.__name__}.{name}") for _, name, _ in pkgutil.iter_modules(package.__path__)
    ]
    return [
        kind for module in modules for kind in vars(module).values()
        if inspect.isclass(kind) and kind.__module__ == module.__name__
    ]  # fmt: skip


# The classes of `base` are there to be extended.
CLASSES: list[Any] = [
    kind for package in (operators, sensors, notifications) for kind in _in(package)
    if issubclass(kind, BaseOperator | BaseNotifier) and kind.__name__.startswith("OAC")
    and not kind.__module__.endswith(".base")
]  # fmt: skip
KINDS = {kind.__name__: kind for kind in CLASSES}
#: Every operator and sensor, by name.
TASKS = {name: kind for name, kind in KINDS.items() if issubclass(kind, BaseOperator)}
TRIGGERS: list[Any] = [
    kind for kind in _in(triggers) if kind.__name__.startswith("OAC") and not inspect.isabstract(kind)
]


def make(kind: Any, **changes: Any) -> Any:
    """One of a class, with what it needs; ``changes`` are further arguments."""
    needed = {
        argument.name: _sample(argument) for argument in arguments_of(kind)
        if argument.default is inspect.Parameter.empty
    }  # fmt: skip
    task = {"task_id": "a_task"} if issubclass(kind, BaseOperator) else {}
    together = {} if changes.keys() & {"server", "template_oac_conn_id"} else TOGETHER.get(kind.__name__, {})
    return kind(**{**task, **needed, **together, **changes})


def _sample(argument: Argument) -> Any:
    samples: tuple[Any, ...] = ("/x", {"a": "b"}, ["/x"], [{"account": "x"}], timedelta(days=1))
    return next(value for value in samples if argument.judged(value, rendered=True) == (value, ""))


def make_trigger(kind: Any) -> Any:
    """A trigger of a class, with what it needs."""
    samples: dict[str, Any] = {"str": "x", "float": 1.0, "dict": {}}
    needed = {
        name: samples[str(parameter.annotation).partition(" ")[0].partition("[")[0]]
        for name, parameter in inspect.signature(kind.__init__).parameters.items()
        if parameter.default is inspect.Parameter.empty and name != "self"
    }
    return kind(**needed)
