"""The check of arguments, over every argument of every operator, sensor and notifier."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import os
import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from airflow.exceptions import AirflowException

from airflow_provider_oac._compat import BaseOperator, BaseSensorOperator, ObjectStoragePath
from airflow_provider_oac.arguments import arguments_of
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.notifications.oac import OACBackupNotifier, OACWorkNotifier
from airflow_provider_oac.operators.runs import OACReloadDatasetOperator
from airflow_provider_oac.operators.snapshots import (
    OACCreateSnapshotOperator,
    OACDeleteSnapshotOperator,
    OACPruneSnapshotsOperator,
)
from airflow_provider_oac.operators.workbooks import OACExportWorkbooksOperator
from airflow_provider_oac.tasks import CheckedOperator
from tests.unit.operators.everything import CLASSES, KINDS, make

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG

every_task = pytest.mark.parametrize(
    "kind", [kind for kind in CLASSES if issubclass(kind, CheckedOperator)], ids=lambda kind: kind.__name__
)
every_class = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)

# What no argument may be whose annotation begins so; what the annotations themselves mean is not asked of the check.
NO_TEXT: list[Any] = ["None", True, 1.5, ["x"], {"a": "b"}]
WRONG: dict[str, list[Any]] = {
    "bool": ["false", "True", "", "None", 0, 1, []],
    "Count": ["7", -1, 1.5, True, timedelta(1), None],
    "Number": ["7", 0, -1, 1.5, True, None],
    "timedelta": [30, "1 day", timedelta(0), timedelta(-1), timedelta.max, True],
    "Duration": ["3 hours", 0, -1, float("nan"), float("inf"), 1e300, 10**400, True, timedelta(0), timedelta.max, None],
    "Annotated[Duration, AtLeast(0)]": ["3 hours", -1, True, timedelta(-1), "None", None],
    "Literal": ["no such thing", "", 1, None, True],
    "Annotated[str, OneOf": ["no such thing", "", True, None],
    **dict.fromkeys(("Annotated[str, _", "Annotated[str, EMPTY]", "Annotated[CatalogPath, EMPTY]"), NO_TEXT),
    "str | Sequence[str]": ["None", True, {"a": "b"}, ["x", "None"], [""]],
    "str": ["None", " None ", "", " ", True, 1.5, ["x"], {"a": "b"}, "\ud800"],
    "datetime | str": ["None", "", True, 1.5, ["x"]],
    "CatalogPath": ["None", "", True, 1.5, ["x"], {"a": "b"}],
    "Location": ["None", "", True, "file://out/x.pdf", "file:x.pdf", "out/x.pdf", "file://x.pdf", Path("x.pdf"), "s3://",
                 "FILE://out/x.pdf", "://x", "file:////data/x.pdf", "/data/x\0.pdf", "/\ud800"],
    "Mapping": ["{'a': 'b'}", "None", 1, True, ["a"]],
    "Sequence": ["no list", "None", 7, True, {"a": "b"}, [object()], ["None"], [""], bytearray(b"x")],
    "Collection[str]": ["None", True, {"a": "b"}, [object()], ["x", "None"], ["x", " "], memoryview(b"x")],
    "Callable": ["a text", "None", 7],
    "Any": [],
}  # fmt: skip


def annotations(kind: Any) -> dict[str, str]:
    """The annotations of a class's own arguments, as they are written, without what says that they are templates."""
    return {
        name: re.sub(r"^Template\[(.*)\]$", r"\1", parameter.annotation)
        for name, parameter in inspect.signature(kind.__init__).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }


def wrong_values(annotation: str) -> list[Any]:
    (longest,) = sorted((key for key in WRONG if annotation.startswith(key)), key=len)[-1:] or [""]
    assert longest, f"no test for {annotation}"
    return [value for value in WRONG[longest] if not (value is None and annotation.endswith("None"))]


@pytest.fixture(scope="module")
def references() -> list[Any]:
    """What Airflow resolves when a task runs, and only in template fields."""
    with DAG("d", schedule=None, params={"purge": False}) as dag:
        task = BaseOperator(task_id="other")
        return ["{{ params.purge }}", "{% if x %}", task.output, task.output["x"], dag.param("purge")]


@every_class
def test_what_does_not_fit_is_refused_when_the_dag_is_parsed(kind: Any, references: list[Any]) -> None:
    notifier = kind in (OACBackupNotifier, OACWorkNotifier)
    assert issubclass(kind, CheckedOperator) or notifier
    for name, annotation in annotations(kind).items():
        for value in wrong_values(annotation):
            with pytest.raises(OACConfigurationError, match=rf"^(Task 'a_task'|OAC(Backup|Work)Notifier): {name} "):
                make(kind, **{name: value})
        for number, value in enumerate(references[:2] if notifier else references):
            task = {} if notifier else {"task_id": f"{kind.__name__}_{name}_{number}"}
            if name in kind.template_fields or annotation == "Any":
                make(kind, **task, **{name: value})
                continue
            with pytest.raises(OACConfigurationError, match=f": {name} is not a template field: it takes .*itself.$"):
                make(kind, **task, **{name: value})


@every_task
def test_what_templates_render_is_checked_before_anything_is_sent(kind: Any) -> None:
    for name, annotation in annotations(kind).items():
        for value in wrong_values(annotation):
            task = make(kind)
            (attribute,) = {argument.attribute for argument in arguments_of(kind) if argument.name == name}
            setattr(task, attribute, value)
            # There is no Connection: whatever goes on fails otherwise.
            with pytest.raises(OACConfigurationError, match=rf"^Task 'a_task': {name} .*Nothing was sent\.$"):
                task.execute({})


def test_a_notifier_tells_people_all_the_same(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    notifier = OACBackupNotifier(snapshot_label="{{ label }}")
    notifier.snapshot_label = "None"
    notifier.notify({})
    assert "OACBackupNotifier: snapshot_label is the text 'None'" in caplog.text + "".join(capsys.readouterr())


class Entry(os.PathLike[str]):
    """A path that is none of ``pathlib``, as ``os.DirEntry``."""

    def __fspath__(self) -> str:
        return "/data/x.pdf"


PATHS = [
    "/data/x.pdf",
    Path("/data/x.pdf"),
    PurePosixPath("/data/x.pdf"),
    Entry(),
    ObjectStoragePath("file:///data/x.pdf"),
]


@every_class
def test_paths_and_digits_become_text(kind: Any) -> None:
    for name, annotation in annotations(kind).items():
        if annotation.startswith(("str", "Annotated[str, EMPTY")):
            assert getattr(make(kind, **{name: 20260101}), name) == "20260101"
        if "CatalogPath" in annotation or "Location" in annotation:
            for path in PATHS:
                several = annotation.startswith("Sequence")
                text = "file:///data/x.pdf" if isinstance(path, ObjectStoragePath) else "/data/x.pdf"
                found = getattr(make(kind, **{name: [path] if several else path}), name)
                assert found == ([text] if several else text)


@every_class
def test_exactly_what_may_be_a_free_text_or_holds_some_is_a_template_field(kind: Any) -> None:
    fixed = ("bool", "Count", "Number", "timedelta", "Duration", "Annotated[Duration", "Literal", "Callable")
    free = {name for name, annotation in annotations(kind).items() if not annotation.startswith(fixed)}
    assert free - {"allowed_run_types", "needed"} == set(kind.template_fields)
    assert all(hasattr(make(kind), name) for name in kind.template_fields)


def test_type_checkers_know_airflows_arguments_and_no_others() -> None:
    parameters = inspect.signature(BaseOperator.__init__).parameters
    if "retry_policy" not in parameters:
        pytest.skip("before Airflow 3.3")
    (known,) = [node for node in ast.walk(ast.parse(inspect.getsource(CheckedOperator))) if isinstance(node, ast.If)]
    names = {node.target.id for node in known.body if isinstance(node, ast.AnnAssign)}
    assert names <= set(parameters)
    # Airflow's own class declares the others; the last ones are methods of it as well.
    others = {"pre_execute", "post_execute", "self", "kwargs"}
    assert set(parameters) <= names | {field.name for field in dataclasses.fields(BaseOperator)} | others


def test_only_the_first_base_may_declare_arguments_unless_a_class_has_its_own_constructor() -> None:
    assert OACCreateSnapshotOperator.__init__.built_on is BaseOperator.__init__  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=r"^Both cannot take .*snapshot_id.* from OACDeleteSnapshotOperator: only the "):

        class Both(OACReloadDatasetOperator, OACDeleteSnapshotOperator): ...

    class Own(OACReloadDatasetOperator, OACDeleteSnapshotOperator):
        def __init__(self, *, snapshot_id: str, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.snapshot_id = snapshot_id

    class Mixin: ...

    class Mixed(Mixin, OACDeleteSnapshotOperator): ...

    assert Own(task_id="both", dataset="/x", snapshot_id="s-1").snapshot_id == "s-1"
    assert Mixed(task_id="delete", snapshot_id="s-1").snapshot_id == "s-1"


@every_task
def test_no_name_hides_one_of_airflow(kind: Any) -> None:
    # Names that Airflow means to be overridden.
    open_names = {"_abc_impl", "execute", "on_kill", "operator_extra_links", "poke", "pre_execute", "resume_execution",
                  "template_ext", "template_fields", "ui_color"}  # fmt: skip
    above: Any = BaseSensorOperator if issubclass(kind, BaseSensorOperator) else BaseOperator
    ours = {name for base in kind.__mro__ if base.__module__.startswith("airflow_provider_oac.") for name in vars(base)}
    # Airflow keeps in `_BaseOperator__...` of a class what it found out about it.
    hidden = {name for name in ours & set(dir(above)) if not name.startswith(("__", "_BaseOperator__"))} - open_names
    assert hidden == set()


@every_class
def test_an_unknown_argument_is_refused(kind: Any) -> None:
    # Airflow's own check, which raises another class in 2.11.
    with pytest.raises((TypeError, AirflowException), match="defferable"):
        make(kind, defferable=True)


def test_a_notifier_without_a_required_argument_is_refused() -> None:
    with pytest.raises(TypeError, match="OACBackupNotifier needs snapshot_label"):
        OACBackupNotifier(to="night@example.com")
    with pytest.raises(TypeError, match=r"OACBackupNotifier\.__init__\(\) takes 1 positional argument"):
        OACBackupNotifier("nightly")  # type: ignore[misc, call-arg]


def test_default_arguments_and_mapped_arguments_are_checked() -> None:
    with DAG("d", schedule=None, default_args={"deferrable": "yes"}):
        mapped = OACDeleteSnapshotOperator.partial(task_id="a", delete_storage="{{ x }}").expand(snapshot_id=["1"])
        with pytest.raises(OACConfigurationError, match="deferrable must be True or False, but is the text 'yes'"):
            make(OACCreateSnapshotOperator)
    with pytest.raises(OACConfigurationError, match="delete_storage is not a template field"):
        mapped.unmap({"snapshot_id": "1"})


def test_an_empty_retention_rule_is_refused_in_the_dag_file() -> None:
    with pytest.raises(OACConfigurationError, match=r"^Task 'prune': .*would prune every snapshot\. Set"):
        OACPruneSnapshotsOperator(task_id="prune", snapshot_label="nightly", bucket="b")


def test_whoever_extends_a_class_is_checked_too() -> None:
    class Purge(OACDeleteSnapshotOperator):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.delete_storage = "false"  # type: ignore[assignment]

        def execute(self, context: Any) -> str | None:
            raise AssertionError("the check comes first")

    with pytest.raises(OACConfigurationError, match="delete_storage must be True or False, but is the text 'false'"):
        Purge(task_id="a_task", snapshot_id="1")


def test_what_a_derived_class_annotates_is_no_argument() -> None:
    class Noted(OACDeleteSnapshotOperator):
        template_fields: Sequence[str] = (*OACDeleteSnapshotOperator.template_fields, "note")
        ui_color: str = "#ffffff"
        note: str = ""
        late: str

    task = Noted(task_id="a_task", snapshot_id="1")
    assert (task.snapshot_id, task.ui_color) == ("1", "#ffffff")
    assert Noted.template_fields[-1] == "note"


@pytest.mark.parametrize("wanted", [True, False])
def test_an_argument_whose_name_is_a_method_of_airflow_counts_when_it_is_set_later(wanted: bool) -> None:
    task = make(OACPruneSnapshotsOperator, dry_run=not wanted)
    task.dry_run = wanted
    task.check_arguments(rendered=True)
    assert task.dry_run_only is wanted
    task.dry_run = "false"
    with pytest.raises(OACConfigurationError, match="dry_run must be True or False"):
        task.execute({})


def test_templates_are_rendered_inside_lists_and_dictionaries() -> None:
    task = make(OACExportWorkbooksOperator, workbooks=["/a/{{ x }}", {"workbook_path": "/b", "canvases": ["{{ x }}"]}])
    task.render_template_fields({"x": "1"})
    assert task.workbooks == ["/a/1", {"workbook_path": "/b", "canvases": ["1"]}]


def test_native_rendering_gives_numbers() -> None:
    with DAG("d", schedule=None, render_template_as_native_obj=True) as dag:
        task = make(OACReloadDatasetOperator, dataset="{{ day }}")
    task.render_template_fields({"day": "20260101"}, dag.get_template_env())
    assert task.dataset == 20260101
    # After a deferral, work goes on: what does not fit any more is left alone.
    task.oac_conn_id = "None"
    task.execute_complete = lambda context: task.dataset
    assert task.resume_execution("execute_complete", None, {}) == "20260101"


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("OACExportWorkbookOperator", {"destination": "file://out/x.pdf"},
         "must be an absolute path or a URL, such as /data/report.pdf, file:///data/report.pdf (three"),
        ("OACPruneSnapshotsOperator", {"keep_for": 30}, "such as timedelta(days=1), up to 1000 years, but is 30."),
        ("OACPruneSnapshotsOperator", {"keep": ["nightly", "None"]},
         "must be a list of which each member is a non-empty text, or a text, but one is the text 'None'."),
        ("OACFindSnapshotOperator", {"snapshot_label": "None"},
         "which a template renders if it finds nothing. Check what its template refers to."),
        ("OACWorkRequestSensor", {"work_request_id": "None"},
         "A task that recovered its work from OAC's lists has no work request to wait for: its result has verified"),
        ("OACRestoreSnapshotOperator", {"snapshot": "{'password': 'secret'}"},
         "must be a dictionary, but is a text. A template renders to text: pass the .output of a task, put templates"),
    ],
)  # fmt: skip
def test_the_message_says_what_to_do(name: str, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(OACConfigurationError, match=re.escape(says)) as failure:
        make(KINDS[name], **arguments)
    assert str(failure.value).startswith(f"Task 'a_task': {next(iter(arguments))} ")
    assert "secret" not in str(failure.value)
