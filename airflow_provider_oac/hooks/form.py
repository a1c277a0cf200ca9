"""The Connection form for Airflow 2.11 and 3.1, built from the metadata that newer versions read directly."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from airflow_provider_oac.hooks.extra import SAVED_SECRET
from airflow_provider_oac.provider_info import CONNECTION_FIELDS, HIDDEN_FIELDS, PLACEHOLDERS, RELABELING, SECRET_FIELDS


def form_widgets() -> dict[str, Any]:
    """Return wtforms fields for the Connection, without validators, which would run for every connection type."""
    # Only the web server of Airflow 2.11 and 3.1 calls this.
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
    from wtforms import PasswordField, StringField

    secret, text = _secret_widget(BS3PasswordFieldWidget), BS3TextFieldWidget()

    def field(name: str, definition: dict[str, Any]) -> Any:
        schema = definition["schema"]
        label, description = definition["label"], definition.get("description", "")
        if name in SECRET_FIELDS:
            made = PasswordField(label, widget=secret, description=description)
        else:
            widget = ChoiceWidget(schema) if "enum" in schema else text
            made = StringField(label, widget=widget, description=description, default=schema.get("default"))
        # Airflow 3.1 replaces wtforms with classes that hold the page's schema: lists, sections, multi-line fields.
        if (param := getattr(made, "param", None)) is not None:
            param.schema.update(schema)
        return made

    return {name: field(name, definition) for name, definition in CONNECTION_FIELDS.items()}


def field_behaviour() -> dict[str, Any]:
    """Return labels and placeholders of the standard fields, and the names of the hidden ones."""
    return {"hidden_fields": HIDDEN_FIELDS, "relabeling": RELABELING, "placeholders": PLACEHOLDERS}


class ChoiceWidget:
    """A drop-down list.

    Airflow 2 refuses wtforms' ``SelectField``, and its validator would break the forms of other connection types. A
    value that is not in the list, for example one that a command or a script saved, is shown and kept.

    :param schema: the field's schema.
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        self._texts = {"": ""} if schema.get("default") is None else {}
        self._texts |= {value: schema["values_display"][value] for value in schema["enum"]}

    def __call__(self, field: Any, **_attributes: Any) -> Any:
        """Return the HTML element."""
        value = field.data or next(iter(self._texts))
        option = Markup('<option value="{}"{}>{}</option>')
        options = Markup().join(
            option.format(name, Markup(" selected") if name == value else "", text)
            for name, text in ({value: value} | self._texts).items()
        )
        return Markup('<select class="form-control" id="{0}" name="{0}">{1}</select>').format(field.name, options)


def _secret_widget(base: type) -> Any:
    """Return a password box that keeps a saved secret.

    The form of Airflow 2 shows an empty box for a saved secret and loses the secret on saving. Airflow has a
    placeholder text that means "unchanged", and this box shows it. The box has one line, even for a PEM key, because
    Airflow 2 turns each box with several lines into a JSON editor. Browsers drop the newlines of pasted text; the key
    loader accepts that.
    """

    class SecretWidget(base):  # type: ignore[misc]
        def __call__(self, field: Any, **attributes: Any) -> Any:
            # If Airflow refuses the form, the box shows again what the user typed.
            attributes["value"] = field.data or "" if field.raw_data else SAVED_SECRET if field.data else ""
            return super().__call__(field, **attributes)

    widget = SecretWidget()
    widget.hide_value = False
    return widget
