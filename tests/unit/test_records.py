"""Records: what is read back is what was written, and what is not exactly a record of this version is unknown."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest

from airflow_provider_oac.client.flows.create_snapshot import SnapshotFacts
from airflow_provider_oac.client.flows.export import Export, ExportFacts, WantedFile
from airflow_provider_oac.client.flows.register_snapshot import RegistrationFacts
from airflow_provider_oac.client.flows.restore import RestoreFacts
from airflow_provider_oac.client.flows.start_run import Mark, RunFacts
from airflow_provider_oac.operators.task_state import Deferred, NoFacts, TaskRecord
from airflow_provider_oac.records import Record

SNAPSHOT = SnapshotFacts("n", "file:///n.bar", "b", "seal", None)
FILE = WantedFile("l", "u", "w", "n", "pdf", 1, 2, ("a",), (Export(("c",), "wr", 1.5),))
RECORDS = [
    TaskRecord(1, "f", True, "wr", 1.0, {"a": [1]}, "n", ("x",), {"u": {}}, {"s": 1}, "https://a", None, True),
    Deferred("wr", 1.0, NoFacts().to_json(), 2.0, None),
    SNAPSHOT,
    RegistrationFacts("n", "u", "b", "id", None, None, None),
    RunFacts("own", "o", Mark(("a", "b"), 1.0), None),
    RestoreFacts("id", "n", "a", "h", None, None, None, "s", 1, "restore", "now", SNAPSHOT, {"a": 1}, True, None),
    ExportFacts(("u",), (FILE,), (), ({"path": "u"},), (("l", "m"),)),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_it_comes_back_from_json_as_it_was(record: Record) -> None:
    assert type(record).from_json(json.loads(json.dumps(record.to_json()))) == record


def spoiled(record: Record) -> list[Any]:
    """What other versions, and other programs, may have written."""
    kept = record.to_json()
    name = fields(record)[0].name if fields(record) else "version"  # type: ignore[arg-type]
    missing = {key: value for key, value in kept.items() if key != name}
    versions = [{**kept, "version": version} for version in (0, 2, None, "1")]
    return [None, [], "x", {}, *versions, {**kept, "more": 1}, missing, {**kept, name: object}]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_what_another_version_wrote_is_unknown(record: Record) -> None:
    for kept in spoiled(record):
        assert type(record).from_json(kept) is None


def test_no_type_is_mistaken_for_another() -> None:
    kept = TaskRecord().to_json()
    for change in ({"sending": 1}, {"max_tries": True}, {"failed": "ab"}, {"failed": [1]}, {"exported": []}):
        assert TaskRecord.from_json({**kept, **change}) is None
    assert TaskRecord.from_json({**kept, "submitted_at": 3}) == TaskRecord(submitted_at=3.0)
