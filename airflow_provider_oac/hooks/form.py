"""The Connection form as Airflow 2.11 and 3.1 want it, made of the metadata that newer versions read themselves."""

from __future__ import annotations

from typing import Any

from airflow_provider_oac.provider_info import CONNECTION_FIELDS, HIDDEN_FIELDS, PLACEHOLDERS, RELABELING


def form_widgets() -> dict[str, Any]:
    """One wtforms field for each of our fields; no validator, as one would be asked for every connection type."""
    from flask_appbuilder.fieldwidgets import (
        BS3PasswordFieldWidget,
        BS3TextAreaFieldWidget,
        BS3TextFieldWidget,
    )
    from wtforms import PasswordField, StringField

    def field(definition: dict[str, Any]) -> Any:
        schema = definition["schema"]
        label, description = definition["label"], definition.get("description", "")
        if schema.get("format") == "password":
            return PasswordField(label, widget=BS3PasswordFieldWidget(), description=description)
        widget = BS3TextAreaFieldWidget() if schema.get("format") == "multiline" else BS3TextFieldWidget()
        return StringField(label, widget=widget, description=description, default=schema.get("default"))

    return {name: field(definition) for name, definition in CONNECTION_FIELDS.items()}


def field_behaviour() -> dict[str, Any]:
    """Labels and placeholders of the standard fields, and which of them are hidden."""
    return {"hidden_fields": HIDDEN_FIELDS, "relabeling": RELABELING, "placeholders": PLACEHOLDERS}
