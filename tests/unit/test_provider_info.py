"""What Airflow is told of the provider."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest

from airflow_provider_oac import sensors, triggers
from airflow_provider_oac._compat import BaseHook, setting
from airflow_provider_oac.auth.settings import CLIENT_AUTHENTICATIONS, GRANTS
from airflow_provider_oac.cli.parser import COMMANDS, airflow_commands, parser
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.hooks.sql import OACSqlHook
from airflow_provider_oac.operators.snapshots import OACCreateSnapshotOperator, OACPruneSnapshotsOperator
from airflow_provider_oac.provider_info import (
    CONNECTION_FIELDS,
    RELABELING,
    SECRET_FIELDS,
    SETTINGS,
    get_provider_info,
)
from tests.unit.test_imports import printed

try:
    from airflow._shared.secrets_masker.secrets_masker import should_hide_value_for_key
except ImportError:  # before Airflow 3.2
    try:
        from airflow.sdk.execution_time.secrets_masker import should_hide_value_for_key
    except ImportError:  # Airflow 2.11
        from airflow.utils.log.secrets_masker import should_hide_value_for_key

SECRETS = set(SECRET_FIELDS)
INFO = get_provider_info()
(CONNECTION_TYPE,) = INFO["connection-types"]


def schema(name: str) -> Any:
    """A schema of the Airflow that is installed."""
    return json.loads(Path(airflow.__file__).with_name(name).read_text())


def test_airflows_own_schema_accepts_it() -> None:
    jsonschema.validate(INFO, schema("provider_info.schema.json"))


def test_the_stricter_schema_for_connection_types_accepts_the_form() -> None:
    of_yaml = schema("provider.yaml.schema.json")["properties"]["connection-types"]
    if not {"conn-fields", "hook-name"} <= set(of_yaml["items"]["properties"]):
        pytest.skip("before Airflow 3.3")
    jsonschema.validate(INFO["connection-types"], of_yaml)
    assert set(CONNECTION_TYPE) <= set(of_yaml["items"]["properties"])


def test_the_entry_point_leads_here_and_the_name_is_that_of_the_distribution() -> None:
    entries = entry_points(group="apache_airflow_provider")
    (entry,) = [point for point in entries if point.value.startswith("airflow_provider_oac")]
    assert entry.load() is get_provider_info
    assert entry.dist is not None
    assert INFO["package-name"] == entry.dist.name == "airflow-provider-oac"


def named_modules(info: Any) -> list[str]:
    if isinstance(info, dict):
        own = info.get("python-modules", [])
        return [*own, *(name for value in info.values() for name in named_modules(value))]
    return [name for value in info for name in named_modules(value)] if isinstance(info, list) else []


def test_every_named_module_and_class_exists_and_every_module_is_named() -> None:
    named = named_modules(INFO)
    assert [module for module in named if not importlib.import_module(module)] == []
    for path in (CONNECTION_TYPE["hook-class-name"], *INFO["extra-links"]):
        module, _, name = path.rpartition(".")
        assert isinstance(getattr(importlib.import_module(module), name), type)
    for package in (sensors, triggers):
        assert {module.name for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")} <= set(named)


@pytest.mark.parametrize("name", sorted(CONNECTION_FIELDS))
def test_airflow_masks_a_field_if_and_only_if_it_is_a_secret_and_requires_none(name: str) -> None:
    assert should_hide_value_for_key(name) is (name in SECRETS)
    field = CONNECTION_FIELDS[name]["schema"]
    assert (field.get("format") == "password") == (name in SECRETS - {"private_key"})
    assert "null" in field["type"]


def test_the_form_offers_what_there_is() -> None:
    grants = CONNECTION_FIELDS["grant"]["schema"]
    assert set(grants["enum"]) == set(GRANTS)
    assert grants["default"] == "jwt_assertion"
    # Without null, which Airflow 3 would show as a choice: its lists can be emptied anyway.
    assert set(CONNECTION_FIELDS["client_authentication"]["schema"]["enum"]) == set(CLIENT_AUTHENTICATIONS)
    for name in ("grant", "client_authentication"):
        choices = CONNECTION_FIELDS[name]["schema"]
        assert set(choices["values_display"]) == set(choices["enum"])


def test_the_settings_are_as_airflow_wants_them() -> None:
    known = schema("provider_info.schema.json")
    assert "config" in known["properties"]
    assert INFO["config"]["oac"]["options"] == SETTINGS
    for option in SETTINGS.values():
        assert set(option) >= {"description", "type", "version_added", "example", "default"}
    assert SETTINGS["redis_url"]["sensitive"] is True


def test_a_setting_has_its_default_unless_the_environment_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert setting("oac", "store") in ("", SETTINGS["store"]["default"])
    monkeypatch.setenv("AIRFLOW__OAC__STORE", " file ")
    assert setting("oac", "store") == "file"


def test_both_command_lines_have_the_same_commands_and_each_leads_somewhere() -> None:
    (group,) = airflow_commands()
    assert group.name == "oac"
    assert [command.name for command in group.subcommands] == [command.name for command in COMMANDS]
    for command, declared in zip(group.subcommands, COMMANDS, strict=True):
        assert [item.flags for item in command.args] == [flags for flags, _ in declared.arguments]
        # An example of a path or a percent sign would break argparse's own formatting of help.
        assert declared.help in parser().format_help()
        with pytest.raises(SystemExit, match="0"):
            parser().parse_args([declared.name, "--help"])
        module, _, name = declared.function.rpartition(".")
        assert callable(getattr(importlib.import_module(f"airflow_provider_oac.cli.{module}"), name))


def test_declaring_the_commands_loads_nothing_heavy() -> None:
    loaded = printed("import airflow_provider_oac.cli.parser as d, sys; d.parser(); print(*sys.modules, sep='\\n')")
    assert not {"requests", "aiohttp", "jwt", "cryptography", "airflow"} & set(loaded)


def test_the_form_of_older_airflows_is_in_step() -> None:
    pytest.importorskip("flask_appbuilder", reason="only there in Airflow 2.11 and with its auth manager")
    widgets = OACHook.get_connection_form_widgets()
    assert list(widgets) == list(CONNECTION_FIELDS)
    for name, field in widgets.items():
        definition = CONNECTION_FIELDS[name]
        assert field.args[0] == definition["label"]
        assert field.kwargs["description"] == definition.get("description", "")
        assert field.kwargs.get("default") == definition["schema"].get("default")
        assert "validators" not in field.kwargs
        kind = type(field.kwargs["widget"]).__name__
        if name in SECRETS:
            # Airflow 2 takes what it masks from the class of the field.
            assert (field.field_class.__name__, kind) == ("PasswordField", "SecretWidget")
        else:
            wanted = "ChoiceWidget" if "enum" in definition["schema"] else "BS3TextFieldWidget"
            assert (field.field_class.__name__, kind) == ("StringField", wanted)


def test_airflow_3_1_is_told_the_same_through_its_stand_in_for_wtforms() -> None:
    services = pytest.importorskip("airflow.api_fastapi.core_api.services.ui.connections", reason="only in Airflow 3")
    (told,) = [meta for meta in services.HookMetaService.hook_meta_data() if meta.connection_type == "oac"]
    assert list(told.extra_fields) == list(CONNECTION_FIELDS)
    for name, field in told.extra_fields.items():
        definition = CONNECTION_FIELDS[name]
        assert field["schema"].items() >= definition["schema"].items(), name
        assert (field["schema"]["title"], field["description"]) == (definition["label"], definition["description"])
        assert field["value"] == definition["schema"].get("default")
    assert told.standard_fields.host.title == "OAC address"
    assert told.standard_fields.url_schema.hidden


def shown(name: str, data: dict[str, str] | None = None, **saved: str) -> str:
    """A field of the form of Airflow 2, as HTML."""
    wtforms = pytest.importorskip("wtforms", reason="only there in Airflow 2.11 and with its auth manager")
    pytest.importorskip("flask_appbuilder")
    multidict = pytest.importorskip("werkzeug.datastructures").MultiDict
    form = type("Form", (wtforms.Form,), OACHook.get_connection_form_widgets())
    return str(form(formdata=multidict(data) if data is not None else None, **saved)[name]())


def test_the_form_of_airflow_2_has_lists_to_choose_from() -> None:
    html = shown("grant")
    head = '<select class="form-control" id="grant" name="grant"><option value="jwt_assertion" selected>'
    assert html.startswith(head)
    assert html.count("<option") == len(GRANTS)
    assert '<option value="" selected></option>' in shown("client_authentication")
    chosen = {"client_authentication": "body"}
    assert '<option value="body" selected>' in shown("client_authentication", chosen)
    assert '<option value="&lt;odd&gt;" selected>&lt;odd&gt;</option>' in shown("grant", grant="<odd>")


def test_the_form_of_airflow_2_shows_no_saved_secret_and_keeps_it() -> None:
    html = shown("private_key", private_key="the key")
    assert 'value="RATHER_LONG_SENSITIVE_FIELD_PLACEHOLDER"' in html
    assert 'type="password"' in html
    assert "the key" not in html
    assert 'value=""' in shown("private_key")
    assert 'value="typed"' in shown("private_key", {"private_key": "typed"})


def test_the_hook_says_the_same_of_the_form() -> None:
    assert (CONNECTION_TYPE["connection-type"], CONNECTION_TYPE["hook-name"]) == (OACHook.conn_type, OACHook.hook_name)
    old, new = OACHook.get_ui_field_behaviour(), CONNECTION_TYPE["ui-field-behaviour"]
    assert old == {name.replace("-", "_"): value for name, value in new.items()}
    # Airflow 3.3.2 can test a saved Connection only if it has a port.
    assert "port" not in new["hidden-fields"]
    assert set(RELABELING) == {"host", "login", "password"}
    behaviours = Path(airflow.__file__).with_name("customized_form_field_behaviours.schema.json")
    if behaviours.exists():
        jsonschema.validate(old, json.loads(behaviours.read_text()))


def test_airflow_lists_the_provider_without_a_complaint() -> None:
    command = [sys.executable, "-m", "airflow", "providers", "links", "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "airflow_provider_oac.links.OACInstanceLink" in done.stdout
    assert "airflow_provider_oac" not in done.stderr


def test_airflow_finds_the_hook_by_the_type_of_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SOME_OAC", '{"conn_type": "oac"}')
    hook = BaseHook.get_hook("some_oac")
    assert isinstance(hook, OACSqlHook)
    assert hook.get_conn_id() == "some_oac"


def test_operators_that_find_their_work_again_carry_the_mark_that_airflows_registry_reads() -> None:
    class Derived(OACCreateSnapshotOperator): ...

    name = "_OACCreateSnapshotOperator__supports_durable_execution"
    assert getattr(OACCreateSnapshotOperator, name) is True
    # What a user's class does, the registry cannot know.
    assert not hasattr(Derived, "_Derived__supports_durable_execution")
    assert not hasattr(OACPruneSnapshotsOperator, "_OACPruneSnapshotsOperator__supports_durable_execution")
