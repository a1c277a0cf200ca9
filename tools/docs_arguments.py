"""A griffe extension for the reference: attributes that declare arguments become constructor parameters."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ALIAS = re.compile(r"argument\(alias='?\"?(\w+)'?\"?, default=(.*)\)")


class DeclaredArguments(griffe.Extension):
    """Documents the declared arguments of operators, sensors and notifiers; see ``airflow_provider_oac/tasks.py``."""

    def on_class_members(self, *, cls: griffe.Class, **_more: Any) -> None:
        """Add the parameters; griffe calls this when it knows the members of a class."""
        if not re.match(r"airflow_provider_oac\.(operators|sensors|notifications)\.", cls.path):
            return
        declared = [
            member
            for member in cls.members.values()
            if isinstance(member, griffe.Attribute)
            and member.annotation
            and not member.name.startswith("_")
            and "property" not in member.labels
        ]
        if "__init__" in cls.members or not declared or any(map(_is_dataclass, cls.decorators)):
            return
        parameters = griffe.Parameters(griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword))
        for member in declared:
            name, default = member.name, None if member.value is None else str(member.value)
            if default and (aliased := _ALIAS.fullmatch(default)):
                name, default = aliased.groups()
            parameters.add(
                griffe.Parameter(
                    name, annotation=member.annotation, kind=griffe.ParameterKind.keyword_only, default=default
                )
            )
        cls.set_member("__init__", griffe.Function("__init__", parameters=parameters, lineno=cls.lineno))


def _is_dataclass(decorator: griffe.Decorator) -> bool:
    return "dataclass" in str(decorator.value)
