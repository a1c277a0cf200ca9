"""The Connection form as Airflow 2.11 and 3.1 want it, made of the metadata that newer versions read themselves."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from airflow_provider_oac.hooks.extra import SAVED_SECRET
from airflow_provider_oac.provider_info import (
    CONNECTION_FIELDS,
    HIDDEN_FIELDS,
    PLACEHOLDERS,
    RELABELING,
    SECRET_FIELDS,
)


def form_widgets() -> dict[str, Any]:
    """One wtforms field for each of our fields; no validator, as one would be asked for every connection type."""
    # Airflow 2.11 and 3.1 only, in the web server.
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
        # What Airflow 3.1 puts in place of wtforms holds what the page is told: lists, sections, multi-line fields.
        told = getattr(made, "param", None)
        if told is not None:
            told.schema.update(schema)
        return made

    return {name: field(name, definition) for name, definition in CONNECTION_FIELDS.items()}


def field_behaviour() -> dict[str, Any]:
    """Labels and placeholders of the standard fields, and which of them are hidden."""
    return {"hidden_fields": HIDDEN_FIELDS, "relabeling": RELABELING, "placeholders": PLACEHOLDERS}


class ChoiceWidget:
    """A list to choose from. Airflow 2 refuses wtforms' own ``SelectField``, and a validator would harm other types.

    A value that is not on the list, as a Connection of another source may have, is shown and kept.

    :param schema: of the field.
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        self._texts = {"": ""} if schema.get("default") is None else {}
        self._texts |= {value: schema["values_display"][value] for value in schema["enum"]}

    def __call__(self, field: Any, **_attributes: Any) -> Any:
        """The HTML element."""
        value = field.data or next(iter(self._texts))
        option = Markup('<option value="{}"{}>{}</option>')
        options = Markup().join(
            option.format(name, Markup(" selected") if name == value else "", text)
            for name, text in ({value: value} | self._texts).items()
        )
        return Markup('<select class="form-control" id="{0}" name="{0}">{1}</select>').format(field.name, options)


def _secret_widget(base: type) -> Any:
    """A password box that keeps what is saved.

    The form of Airflow 2 shows an empty one for a saved secret and forgets the secret on saving. It knows a text that
    stands for "as it was", and this box shows that. One line also for a PEM key: Airflow 2 makes an editor for JSON of
    each box with several lines. Browsers drop the newlines of what is pasted, which our reader of keys expects.
    """

    class SecretWidget(base):  # type: ignore[misc]
        def __call__(self, field: Any, **attributes: Any) -> Any:
            # A form that was refused shows again what was typed.
            attributes["value"] = field.data or "" if field.raw_data else SAVED_SECRET if field.data else ""
            return super().__call__(field, **attributes)

    widget = SecretWidget()
    widget.hide_value = False
    return widget
