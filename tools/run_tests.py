#!/usr/bin/env python3
"""Set up the test environments and run the tests, part by part.

    python3 tools/run_tests.py                     everything (`make test`)
    python3 tools/run_tests.py --quick             lint, types, unit and contract tests (`make check`)
    python3 tools/run_tests.py lint airflow-2.11   the named parts only
    python3 tools/run_tests.py unit -- -k token    arguments after `--` go to pytest

Every part runs even if an earlier part failed. Parts with a real Airflow spend most of their time waiting, so one of
them runs beside the other parts, then four at a time; they print their output when they end. At the end, failed tests
run once more, alone: the summary names those that then pass, and they do not fail the run. The exit code is 1 if any
part failed or a required part could not run. OAC_TEST_ALLOW_MISSING=1 skips parts without an interpreter or Chromium;
the summary lists them. Standard library only; the tests themselves run in the environments of tools/setup_env.py.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools import debian, setup_env
from tools.chromium import chromium
from tools.postgres import programs
from tools.setup_env import ENVIRONMENTS, ROOT

QUICK = ("tests/unit", "tests/contract")
FAST = (*QUICK, "tests/integration", "tests/simulator", "tests/faults", "tests/tools")
#: Tests of code that depends on Airflow's line. All other code is the same on every line, and is tested on the newest.
LINES = (
    "tests/unit/operators",
    "tests/unit/hooks/test_connection.py",
    "tests/unit/hooks/test_connection_type.py",
    "tests/unit/hooks/test_token_mask.py",
    *(f"tests/unit/test_{name}.py" for name in ("imports", "provider_info", "links")),
    *(
        f"tests/integration/test_{name}.py"
        for name in (
            "command_line",
            "events",
            "hook",
            "hook_async",
            "notifier",
            "object_storage",
            "operators_create_snapshot",
            "sensors",
            "sql_hook",
            "triggers",
        )
    ),
)
#: Tests that depend on the Python version: those without a simulator, and TLS.
PYTHONS = ("tests/unit", "tests/integration/test_transport_tls.py")
#: Starts of pytest's lines about failures: names of tests; errors, and headings of failures.
FAILED_TEST = re.compile(r"(FAILED|ERROR) \S+\.py")
FAILURE = ("E   ", "____")
MOST_FAILURE_LINES = 100
#: Number of last lines to show for other commands.
LAST_LINES = 30
#: Number of parts with a real Airflow that run at a time, once the other parts are over.
LANES = 4
#: Largest number of failed tests to run again. More failures mean that something is broken.
MOST_RERUN = 8
#: The supported older lines of Airflow.
OLDER = ("2.11", "3.1", "3.2")
#: schemathesis is locked for the newest line only, so older lines ignore these files.
NO_SCHEMATHESIS = ("--ignore-glob=*schemathesis*",)


@dataclass(frozen=True)
class Part:
    """One section of the test run: an environment and the commands to run in it."""

    name: str
    environment: str
    title: str
    commands: tuple[tuple[str, ...], ...]
    optional: bool = False
    #: Whether the machine is idle for most of the part, so another such part may run at the same time.
    waits: bool = False
    #: Finds or installs a program that is not a Python package.
    program: Callable[[], object] | None = None


@dataclass
class Outcome:
    """The outcome of a part, for the summary."""

    part: str
    verdict: str
    seconds: float = 0.0
    #: CPU time of all ended processes of the part.
    cpu_seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    #: Output about the failures.
    failures: list[str] = field(default_factory=list)


def pytest(*arguments: str) -> tuple[str, ...]:
    return ("python", "-m", "pytest", *arguments)


def side_by_side(*arguments: str) -> tuple[str, ...]:
    """Run test files in two processes per core, since they wait half of the time; each has its own simulator."""
    return pytest("-n", str(2 * (os.cpu_count() or 1)), "--dist", "loadfile", *arguments)


#: The tests in a real Airflow, in sessions of similar length that run at the same time, each with its own Airflow and
#: simulator. The last tests of a session search its files for secrets.
SESSIONS = {
    "backups": ("backup", "faults", "connection_form", "events"),
    "restores": ("restore",),
    "content": ("catalog", "examples", "exports", "grants", "runs"),
}
#: Tests that depend on which process runs the tasks.
CLUSTER = ("cluster", "backup", "exports")


def in_airflow(*names: str) -> tuple[str, ...]:
    """Return the paths of test files in tests/airflow."""
    return tuple(f"tests/airflow/test_{name}.py" for name in names)


#: Tests in a real Airflow that depend on its line: a backup in each mode, killed workers, sensors, an export, a Clear,
#: the Connection form, events, an approval.
SMOKE = pytest("-m", "smoke", "tests/airflow")
#: Tests of the page in Airflow's web interface, which depends on Airflow more than any other code.
PAGE = ("tests/integration/test_web_page.py", "tests/integration/test_web_work_requests.py")

PARTS = (
    Part(
        "lint",
        "airflow-3.3",
        "lint, formatting, types, layers",
        (
            ("ruff", "check", "."),
            ("ruff", "format", "--check", "."),
            ("mypy",),
            ("mypy", "tests/unit/operators/typed_arguments.py"),
            ("lint-imports",),
        ),
    ),
    # Without --quiet, because mkdocs counts only the warnings that it prints.
    Part(
        "docs",
        "docs",
        "the site of docs/, warnings as errors; what its search finds; spelling",
        (("mkdocs", "build", "--strict"), ("python", "tools/docs_search.py"), ("codespell", ".")),
    ),
    Part(
        "universes",
        "airflow-3.3",
        "simulated nights of every operator",
        (pytest("tests/universes"), ("python", "-m", "tests.universes", "--minutes", "2.5")),
    ),
    Part("judges", "airflow-3.3", "what others wrote, against the simulator", (pytest("tests/judges"),)),
    Part("unit", "airflow-3.3", "unit, contract, integration, simulator, tools on Airflow 3.3", (side_by_side(*FAST),)),
    *(
        Part(
            f"unit-{line}",
            f"airflow-{line}",
            f"what reads the API of Airflow {line}",
            (side_by_side(*NO_SCHEMATHESIS, *LINES, *(() if line == "2.11" else PAGE)),),
        )
        for line in OLDER
    ),
    *(
        Part(
            f"unit-py{python}",
            f"airflow-3.3-py{python}",
            f"what depends on Python, on {python}",
            (side_by_side(*NO_SCHEMATHESIS, *PYTHONS),),
            optional=True,
        )
        for python in ("3.13", "3.14")
    ),
    Part(
        "floors",
        "floors",
        "unit tests on the oldest dependencies that pyproject.toml allows",
        (side_by_side("tests/unit"),),
    ),
    # The longest parts first, so all lanes end at about the same time.
    *(
        Part(
            f"airflow-3.3-{session}",
            "airflow-3.3",
            f"a real Airflow 3.3: {', '.join(names)}",
            (pytest("--session", session, *in_airflow(*names, "zz_secrets")),),
            waits=True,
        )
        for session, names in SESSIONS.items()
    ),
    Part(
        "cluster",
        "airflow-3.3",
        "backups and exports on the services of docker-compose.yml, without containers",
        (pytest("--cluster", "-m", "smoke or cluster", *in_airflow(*CLUSTER)),),
        waits=True,
        program=programs,
        optional=True,
    ),
    Part(
        "browser",
        "airflow-3.3",
        "a person in the web interface of a real Airflow 3.3",
        (pytest("tests/browser"),),
        waits=True,
        program=chromium,
        optional=True,
    ),
    *(Part(f"airflow-{line}", f"airflow-{line}", f"a real Airflow {line}", (SMOKE,), waits=True) for line in OLDER),
)
#: Without the plugin of schemathesis, so the processes need not import it.
QUICK_COMMAND = side_by_side("-p", "no:schemathesis", *QUICK)
QUICK_PART = Part("quick", "airflow-3.3", "unit and contract tests on Airflow 3.3", (QUICK_COMMAND,))

#: All rows of the fault matrix. The parts above contain the most important rows.
FAULTS = (
    # Its processes mostly wait.
    pytest("-n", str(3 * (os.cpu_count() or 1)), "tests/faults"),
    pytest("tests/airflow/test_faults.py"),
)
FAULT_PARTS = (
    Part("faults", "airflow-3.3", "the fault matrix on Airflow 3.3", FAULTS, waits=True),
    Part("faults-2.11", "airflow-2.11", "the fault matrix on Airflow 2.11", FAULTS, waits=True),
)


def heading(text: str, out: TextIO | None = None) -> None:
    print(f"\n{'=' * 100}\n== {text}\n{'=' * 100}", file=out, flush=True)


def environment_variables(part: Part, home: str) -> dict[str, str]:
    """Return the caller's environment without Airflow settings, with the part's programs first on PATH.

    Python may write byte code: without it, each process compiles all of Airflow, which takes seconds.
    """
    bin_folder = ENVIRONMENTS[part.environment].path / "bin"
    foreign = ("AIRFLOW", "_AIRFLOW", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
    env = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    return env | {
        "PATH": f"{bin_folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "VIRTUAL_ENV": str(bin_folder.parent),
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        # Disable the theme's warning about the next version of mkdocs.
        "NO_MKDOCS_2_WARNING": "1",
    }


def run_command(command: tuple[str, ...], env: dict[str, str], out: TextIO, outcome: Outcome) -> None:
    """Run one command, show its output, and record its result."""
    print(f"$ {' '.join(command)}", file=out, flush=True)
    bin_folder = Path(env["VIRTUAL_ENV"]) / "bin"
    process = subprocess.Popen(
        [str(bin_folder / command[0]), *command[1:]],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    failed: list[str] = []
    details: list[str] = []
    last: deque[str] = deque(maxlen=LAST_LINES)
    assert process.stdout is not None  # noqa: S101 (stdout=PIPE above)
    for line in process.stdout:
        print(line, end="", file=out, flush=True)
        if re.match(r"=+ .*\b(passed|failed|errors?|no tests ran)\b.* in .*=+$", line.strip()):
            outcome.notes.append(line.strip(" =\n"))
        said = line.rstrip()[:400]
        last.append(said)
        if FAILED_TEST.match(said):
            failed.append(said)
        elif said.startswith(FAILURE) and len(details) < MOST_FAILURE_LINES:
            details.append(said)
    _, status, used = os.wait4(process.pid, 0)
    outcome.cpu_seconds += used.ru_utime + used.ru_stime
    process.returncode = code = os.waitstatus_to_exitcode(status)
    if code:
        outcome.verdict = "FAILED"
        outcome.failures += [*failed, *details] or list(last)
        outcome.notes.append(f"`{' '.join(command[:3])}` ended with exit code {code}")


def set_up(part: Part) -> Outcome:
    """Set up the part's environment; the outcome is `passed` if it is available."""
    try:
        setup_env.install(ENVIRONMENTS[part.environment])
        if part.program:
            part.program()
    except (setup_env.NoInterpreter, debian.NotInstalled) as problem:
        print(problem, flush=True)
        return Outcome(part.name, "left out", notes=[str(problem)])
    except setup_env.SetupError as problem:
        print(problem, flush=True)
        return Outcome(part.name, "FAILED", notes=["setting up failed"])
    return Outcome(part.name, "passed")


def run_part(part: Part, pytest_arguments: list[str], out: TextIO) -> Outcome:
    """Run all commands of a part that is set up, even if one fails."""
    heading(f"{part.name}: {part.title}", out)
    began = time.monotonic()
    outcome = Outcome(part.name, "passed")
    with tempfile.TemporaryDirectory(prefix="airflow-provider-oac-") as home:
        env = environment_variables(part, home)
        for command in part.commands:
            if "pytest" in command:
                # Each part has its own cache of failed tests.
                command = (*command, "-o", f"cache_dir=.pytest_cache/{part.name}", *pytest_arguments)
            run_command(command, env, out, outcome)
    outcome.seconds = time.monotonic() - began
    return outcome


def rerun(part: Part, outcome: Outcome) -> Outcome:
    """Run the few tests that failed once more, alone. If they pass, the part has passed, and its notes name them."""
    failed = sorted({line.partition(" - ")[0] for line in outcome.failures if FAILED_TEST.match(line)})
    if not 0 < len(failed) <= MOST_RERUN or len(part.commands) > 1:
        return outcome
    alone = (*_alone(part.commands[0]), "--last-failed")
    second = run_part(replace(part, title="once more, what failed", commands=(alone,)), [], sys.stdout)
    if second.verdict != "passed":
        return outcome
    notes = [*outcome.notes, *second.notes, "PASSED ONLY WHEN RUN ALONE: " + ", ".join(failed)]
    seconds, cpu = outcome.seconds + second.seconds, outcome.cpu_seconds + second.cpu_seconds
    return Outcome(part.name, "passed", seconds, cpu, notes)


def _alone(command: tuple[str, ...]) -> tuple[str, ...]:
    """Return a pytest command without parallel processes."""
    return command if "-n" not in command else (*command[: command.index("-n")], *command[command.index("-n") + 4 :])


def run_aside(part: Part, pytest_arguments: list[str]) -> Outcome:
    """Run a part in parallel with others and print its output when it ends."""
    print(f"[{time.strftime('%H:%M:%S')}] {part.name} begins: {part.title}", flush=True)
    said = io.StringIO()
    try:
        return run_part(part, pytest_arguments, said)
    except Exception as problem:
        # The other parts still run, and the summary names this one.
        return Outcome(part.name, "FAILED", notes=[f"{type(problem).__name__}: {problem}"])
    finally:
        print(said.getvalue(), end="", flush=True)


def run_parts(parts: list[Part], pytest_arguments: list[str]) -> list[Outcome]:
    """Run the parts: CPU-bound ones one by one, and waiting ones in lanes, of which one is open from the beginning."""
    outcomes = {part.name: set_up(part) for part in parts}
    ready = [part for part in parts if outcomes[part.name].verdict == "passed"]
    # A part alone shows its output as it comes.
    busy = [part for part in ready if not part.waits or len(ready) == 1]
    waiting = iter([part for part in ready if part not in busy])

    def lane() -> None:
        for part in waiting:
            outcomes[part.name] = run_aside(part, pytest_arguments)

    with ThreadPoolExecutor(max_workers=LANES) as lanes:
        running = [lanes.submit(lane)]
        try:
            for part in busy:
                outcomes[part.name] = run_part(part, pytest_arguments, sys.stdout)
            running += [lanes.submit(lane) for _ in range(LANES - 1)]
            for one in running:
                one.result()
        finally:
            # After Ctrl-C, no lane begins another part.
            deque(waiting, maxlen=0)
    return list(outcomes.values())


def summary(outcomes: list[Outcome], seconds: float) -> int:
    """Print the outcome of every part and return the exit code of the whole run."""
    heading(f"summary after {seconds:.0f} s")
    optional = {part.name for part in PARTS if part.optional}
    go_on = os.environ.get("OAC_TEST_ALLOW_MISSING") == "1"
    bad = 0
    for outcome in outcomes:
        missing = outcome.verdict == "left out" and outcome.part not in optional and not go_on
        bad += outcome.verdict == "FAILED" or missing
        mark = " (required: set OAC_TEST_ALLOW_MISSING=1 to go on without it)" if missing else ""
        how = f"{outcome.part:20} {outcome.verdict:9} {outcome.seconds:6.0f} s {outcome.cpu_seconds:6.0f} s CPU"
        print(f"{how}  {'; '.join(outcome.notes)}{mark}")
    # Repeat the failures at the end of the long output.
    for outcome in outcomes:
        if outcome.failures:
            print(f"\n{outcome.part}:", *outcome.failures, sep="\n")
    print("\nFAILED" if bad else "\nall green", flush=True)
    return 1 if bad else 0


def main() -> int:
    known = {part.name: part for part in (*PARTS, *FAULT_PARTS, QUICK_PART)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(known))
    parser.add_argument("--quick", action="store_true", help="lint, types, unit and contract tests")
    arguments = sys.argv[1:]
    extra: list[str] = []
    if "--" in arguments:
        split = arguments.index("--")
        arguments, extra = arguments[:split], arguments[split + 1 :]
    options = parser.parse_args(arguments)
    unknown = [name for name in options.parts if name not in known]
    if unknown:
        parser.error(f"no part is called {', '.join(unknown)}; there are {', '.join(known)}")
    names = ["lint", "quick"] if options.quick else options.parts or [part.name for part in PARTS]
    began = time.monotonic()
    outcomes = run_parts([known[name] for name in names], extra)
    outcomes = [rerun(known[one.part], one) if one.verdict == "FAILED" else one for one in outcomes]
    return summary(outcomes, time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
