"""What Airflow is told of the provider."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from importlib.metadata import distribution, entry_points
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest

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


def schema(name: str) -> dict[str, Any]:
    """A schema of the Airflow that is installed."""
    text = Path(airflow.__file__).with_name(name).read_text()
    found: dict[str, Any] = json.loads(text)
    return found


def test_airflows_own_schema_accepts_it() -> None:
    jsonschema.validate(INFO, schema("provider_info.schema.json"))


def test_the_stricter_schema_for_connection_types_accepts_the_form() -> None:
    of_yaml = schema("provider.yaml.schema.json")["properties"]["connection-types"]
    if not {"conn-fields", "hook-name"} <= set(of_yaml["items"]["properties"]):
        pytest.skip("before Airflow 3.3")
    jsonschema.validate(INFO["connection-types"], of_yaml)
    assert set(CONNECTION_TYPE) <= set(of_yaml["items"]["properties"])


def test_the_entry_point_leads_here_and_the_name_is_that_of_the_distribution() -> None:
    (entry,) = [
        point
        for point in entry_points(group="apache_airflow_provider")
        if point.value.startswith("airflow_provider_oac")
    ]
    assert entry.load() is get_provider_info
    assert entry.dist is not None
    assert INFO["package-name"] == entry.dist.name == distribution("airflow-provider-oac").name


def named_modules(info: Any) -> list[str]:
    if isinstance(info, dict):
        own = info.get("python-modules", [])
        return [*own, *(name for value in info.values() for name in named_modules(value))]
    return [name for value in info for name in named_modules(value)] if isinstance(info, list) else []


@pytest.mark.parametrize("module", named_modules(INFO))
def test_every_named_module_exists(module: str) -> None:
    assert importlib.import_module(module)


@pytest.mark.parametrize("path", [CONNECTION_TYPE["hook-class-name"], *INFO["extra-links"]])
def test_every_named_class_exists(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert isinstance(getattr(importlib.import_module(module), name), type)


def test_every_module_of_the_package_is_named() -> None:
    package = Path(sys.modules["airflow_provider_oac"].__file__ or "").parent
    there = {
        f"airflow_provider_oac.{folder}.{file.stem}"
        for folder in ("sensors", "triggers")
        for file in (package / folder).glob("*.py")
        if file.stem != "__init__"
    }
    assert there <= set(named_modules(INFO))


def test_the_metadata_fit_the_hook() -> None:
    assert CONNECTION_TYPE["connection-type"] == OACHook.conn_type
    assert CONNECTION_TYPE["hook-name"] == OACHook.hook_name


@pytest.mark.parametrize("name", sorted(CONNECTION_FIELDS))
def test_airflow_masks_a_field_if_and_only_if_it_is_a_secret(name: str) -> None:
    assert should_hide_value_for_key(name) is (name in SECRETS)
    hidden = CONNECTION_FIELDS[name]["schema"].get("format")
    assert (hidden == "password") == (name in SECRETS - {"private_key"})


@pytest.mark.parametrize("name", sorted(CONNECTION_FIELDS))
def test_no_field_is_required(name: str) -> None:
    assert "null" in CONNECTION_FIELDS[name]["schema"]["type"]


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


def test_airflow_knows_their_defaults() -> None:
    assert setting("oac", "store") in ("", SETTINGS["store"]["default"])


def test_a_setting_of_the_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__OAC__STORE", " file ")
    assert setting("oac", "store") == "file"


def test_both_command_lines_have_the_same_commands() -> None:
    (group,) = airflow_commands()
    assert group.name == "oac"
    assert [command.name for command in group.subcommands] == [command.name for command in COMMANDS]
    for command, declared in zip(group.subcommands, COMMANDS, strict=True):
        assert [item.flags for item in command.args] == [flags for flags, _ in declared.arguments]
        # An example of a path or a percent sign would break argparse's own formatting of help.
        assert declared.help in parser().format_help()
        with pytest.raises(SystemExit) as ended:
            parser().parse_args([declared.name, "--help"])
        assert ended.value.code == 0


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_leads_somewhere(command: Any) -> None:
    module, _, name = command.function.rpartition(".")
    assert callable(getattr(importlib.import_module(f"airflow_provider_oac.cli.{module}"), name))


def test_declaring_the_commands_loads_nothing_heavy() -> None:
    code = "import airflow_provider_oac.cli.parser as d, sys; d.parser(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert not {"requests", "aiohttp", "jwt", "cryptography", "airflow"} & set(done.stdout.split())


def test_the_port_can_be_edited() -> None:
    # Airflow 3.3.2 can test a saved Connection only if it has one.
    assert "port" not in CONNECTION_TYPE["ui-field-behaviour"]["hidden-fields"]


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


def form_of_airflow_2(data: dict[str, str] | None = None, saved: dict[str, str] | None = None) -> Any:
    wtforms = pytest.importorskip("wtforms", reason="only there in Airflow 2.11 and with its auth manager")
    pytest.importorskip("flask_appbuilder")
    multidict = pytest.importorskip("werkzeug.datastructures").MultiDict
    form = type("Form", (wtforms.Form,), OACHook.get_connection_form_widgets())
    return form(formdata=multidict(data) if data is not None else None, **(saved or {}))


def test_the_form_of_airflow_2_has_lists_to_choose_from() -> None:
    html = str(form_of_airflow_2().grant())
    assert html.startswith(
        '<select class="form-control" id="grant" name="grant"><option value="jwt_assertion" selected>'
    )
    assert html.count("<option") == len(GRANTS)
    assert '<option value="" selected></option>' in str(form_of_airflow_2().client_authentication())
    assert '<option value="body" selected>' in str(
        form_of_airflow_2({"client_authentication": "body"}).client_authentication()
    )
    odd = str(form_of_airflow_2(saved={"grant": "<odd>"}).grant())
    assert '<option value="&lt;odd&gt;" selected>&lt;odd&gt;</option>' in odd


def test_the_form_of_airflow_2_shows_no_saved_secret_and_keeps_it() -> None:
    shown = str(form_of_airflow_2(saved={"private_key": "the key"}).private_key())
    assert 'value="RATHER_LONG_SENSITIVE_FIELD_PLACEHOLDER"' in shown
    assert 'type="password"' in shown
    assert "the key" not in shown
    assert 'value=""' in str(form_of_airflow_2().private_key())
    assert 'value="typed"' in str(form_of_airflow_2({"private_key": "typed"}).private_key())


def test_the_behaviour_of_older_airflows_is_in_step() -> None:
    old, new = OACHook.get_ui_field_behaviour(), CONNECTION_TYPE["ui-field-behaviour"]
    assert old == {name.replace("-", "_"): value for name, value in new.items()}
    assert set(RELABELING) == {"host", "login", "password"}
    behaviours = Path(airflow.__file__).with_name("customized_form_field_behaviours.schema.json")
    if behaviours.exists():
        jsonschema.validate(old, json.loads(behaviours.read_text()))


def test_airflow_lists_the_provider_without_a_complaint() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "airflow", "providers", "links", "--output", "json"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "airflow_provider_oac.links.OACInstanceLink" in done.stdout
    assert "airflow_provider_oac" not in done.stderr


def test_airflow_finds_the_hook_by_the_type_of_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SOME_OAC", '{"conn_type": "oac"}')
    hook = BaseHook.get_hook("some_oac")
    assert isinstance(hook, OACSqlHook)
    assert hook.get_conn_id() == "some_oac"


def test_operators_that_find_their_work_again_carry_the_mark_that_airflows_registry_reads() -> None:
    class Derived(OACCreateSnapshotOperator):
        pass

    name = "_OACCreateSnapshotOperator__supports_durable_execution"
    assert getattr(OACCreateSnapshotOperator, name) is True
    # What a user's class does, the registry cannot know.
    assert not hasattr(Derived, "_Derived__supports_durable_execution")
    assert not hasattr(OACPruneSnapshotsOperator, "_OACPruneSnapshotsOperator__supports_durable_execution")
