"""What commands decide without OAC."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_oac.cli.conformance import _without_secrets
from airflow_provider_oac.cli.new import new
from airflow_provider_oac.cli.parser import parser
from airflow_provider_oac.cli.process import CommandFailed


def test_new_asks_a_person_and_says_what_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    person = StringIO("oac_prod\n\nseal_2026\n30 2 * * *\n")
    monkeypatch.setattr(person, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", person)
    new(parser().parse_args(["new", "backup"]))
    text = Path("oac_backup.py").read_text()
    for part in ('"oac_prod"', 'bucket="oac-backups"', 'seal_conn_id="seal_2026"', 'schedule="30 2 * * *"'):
        assert part in text
    assert "the Connection 'seal_2026' of any type" in text


def test_new_replaces_no_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("mine")
    with pytest.raises(CommandFailed, match="already exists"):
        new(parser().parse_args(["new", "reload", "--output", str(file)]))
    assert file.read_text() == "mine"


def test_whole_words_are_taken_out_of_a_report_on_conformance() -> None:
    auth = SimpleNamespace(secrets=["s3cret"], user="admin", identity_url="https://idcs.example.com", client_id="id-1")
    oac: Any = SimpleNamespace(
        settings=SimpleNamespace(address="https://myinst-ns.example.com", auth=auth, instance="myinst-ns")
    )
    notes = ("the administrator admin of myinst-ns", "s3cret at idcs.example.com", "conformance-myinst-ns-1")
    found = _without_secrets({"operations": [{"notes": notes}]}, oac, {}, "conformance-myinst-ns-1")
    assert found["operations"][0]["notes"] == [
        "the administrator <user> of <instance>", "*** at <identity domain>", "<snapshot>",
    ]  # fmt: skip
