"""The table that `make test-faults` prints, and the one in docs/durability.md: a fault, a mode, an outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.faults.matrix import Fault

HEAD = "| fault | Airflow 3.3 | Airflow 2.11 to 3.2 |\n| --- | --- | --- |\n"


def document() -> str:
    """The whole matrix as it is wanted, for the docs: one line for each fault."""
    # Not when every test run loads this module: it takes Airflow.
    from tests.faults.matrix import AIRFLOW_FAULTS, PROCESS_FAULTS

    return HEAD + "".join(_row(fault) for fault in (*PROCESS_FAULTS, *AIRFLOW_FAULTS))


def _row(fault: Fault) -> str:
    from tests.faults.matrix import LINES, MODES, cells

    wanted = {(cell.mode, cell.line): cell.says_of(cell.wanted) for cell in cells((fault,))}
    columns = []
    for line in LINES:
        texts = {mode: wanted[mode, line] for mode in MODES if (mode, line) in wanted}
        if len(set(texts.values())) == 1 and len(texts) == len(MODES):
            columns.append(next(iter(texts.values())))
        else:
            columns.append("; ".join(f"{mode}: {text}" for mode, text in texts.items()) or "does not apply")
    return f"| {' | '.join([fault.name, *columns])} |\n"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print one line for each cell that ran."""
    lines = []
    for reports in terminalreporter.stats.values():
        for report in reports:
            known = dict(getattr(report, "user_properties", ()))
            if getattr(report, "when", "") != "call" or "fault" not in known:
                continue
            name, mode, line = known["fault"]
            outcome = known.get("outcome", "no outcome")
            if report.failed:
                reason = str(report.longrepr.reprcrash.message).splitlines()[0][:200]
                outcome = f"FAILED, {outcome}: {reason}"
            lines.append((f"{name} / {mode}, {line}", outcome))
    if lines:
        width = max(len(cell) for cell, _ in lines)
        terminalreporter.section("faults")
        for cell, outcome in sorted(lines):
            terminalreporter.write_line(f"{cell:{width}} → {outcome}")
