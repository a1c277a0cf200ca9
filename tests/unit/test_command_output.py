"""The file that `call --output` writes, the progress of `login`, and the end of a command."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_oac.cli.inspect import output
from airflow_provider_oac.cli.sign_in import _Waiting


def test_is_written_beside_where_nobody_can_prepare_a_link(tmp_path: Path) -> None:
    other, target = tmp_path / "other", tmp_path / "answer"
    other.write_text("of somebody else")
    (tmp_path / "answer.part").symlink_to(other)
    with output(str(target)) as file:
        file.write(b"{}")
        (beside,) = set(tmp_path.iterdir()) - {other, tmp_path / "answer.part"}
        assert stat.S_IMODE(beside.stat().st_mode) == 0o600
    assert target.read_text() == "{}"
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(other.stat().st_mode), "that of a new file"
    assert other.read_text() == "of somebody else"


def test_is_left_as_it_was_by_a_command_that_fails(tmp_path: Path) -> None:
    target = tmp_path / "answer"
    target.write_text("before")

    def fail() -> None:
        with output(str(target)) as file:
            file.write(b"{}")
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("answer", "before")]


def test_login_reports_every_half_minute_that_it_waits(capsys: pytest.CaptureFixture[str]) -> None:
    waiting = _Waiting()
    for left in (300.0, 295.0, 270.0, 265.0, 239.0):
        waiting(left)
    assert capsys.readouterr().err == "waiting, 300 s left\nwaiting, 270 s left\nwaiting, 239 s left\n"


ENDING = """
from airflow_provider_oac.cli.process import CommandFailed, as_command, say
def work():
    say("a line that stays in the buffer until the end")
    raise {}
as_command(work)
"""


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [("CommandFailed('the reason')", 1, "error: the reason\n"), ("KeyboardInterrupt", 130, "interrupted\n")],
)
def test_a_command_says_its_error_even_if_the_reader_of_its_output_has_gone(error: str, code: int, said: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", ENDING.format(error)]
    try:
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr[-len(said) :]) == (code, said)
