#!/usr/bin/env python3
"""Create the environments for development and tests.

    python3 tools/setup_env.py                    .venv: the newest Airflow line, for development and the demo
    python3 tools/setup_env.py airflow-2.11 ...   further environments, in .venvs/
    python3 tools/setup_env.py --all              all environments of `make test` with an interpreter on this machine
    python3 tools/setup_env.py --lock             rewrite requirements/*.txt from requirements/*.in

Needs Python 3.11 or newer and nothing else. pip installs a pinned uv into .venvs/uv, uv installs the locked
requirements (with hashes) and this checkout in editable form. A stamp in each environment makes a second run
instant. pip and uv use this machine's package indexes; interpreters are never downloaded.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENVS = ROOT / ".venvs"
REQUIREMENTS = ROOT / "requirements"
STAMP = ".airflow-provider-oac"

Version = tuple[int, int]


class SetupError(Exception):
    """The set-up failed; the message names what is missing."""


class NoInterpreter(SetupError):
    """This machine has no suitable interpreter for an environment."""


@dataclass(frozen=True)
class Environment:
    """One virtual environment: its path, its lock file and its allowed Python versions.

    Without an extra it contains only the locked packages, neither Airflow nor this checkout.
    """

    name: str
    line: str
    path: Path
    extra: str
    pythons: tuple[Version, ...]

    @property
    def lock(self) -> Path:
        return REQUIREMENTS / (f"airflow-{self.line}.txt" if self.line[0].isdigit() else f"{self.line}.txt")

    @property
    def python(self) -> Path:
        return self.path / "bin" / "python"

    def stamp(self) -> str:
        """Return a digest of the environment's inputs; if it changes, the environment is out of date."""
        digest = hashlib.sha256()
        # Only the parts of pyproject.toml that affect the installation, not the settings of ruff or pytest.
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())
        simulator = (ROOT / "simulator" / "pyproject.toml").read_text()
        installed = [project["build-system"], project["project"], project["tool"]["hatch"], simulator]
        for part in (self.lock.read_bytes(), json.dumps(installed, sort_keys=True).encode()):
            digest.update(part)
        digest.update(str(self.path).encode())
        return digest.hexdigest()


ENVIRONMENTS = {
    env.name: env
    for env in (
        Environment("airflow-3.3", "3.3", ROOT / ".venv", "dev", ((3, 11), (3, 12), (3, 13), (3, 14))),
        Environment("airflow-2.11", "2.11", VENVS / "airflow-2.11", "test", ((3, 11), (3, 12))),
        Environment("airflow-3.1", "3.1", VENVS / "airflow-3.1", "test", ((3, 11), (3, 12), (3, 13))),
        Environment("airflow-3.2", "3.2", VENVS / "airflow-3.2", "test", ((3, 11), (3, 12), (3, 13), (3, 14))),
        Environment("airflow-3.3-py3.13", "3.3", VENVS / "airflow-3.3-py3.13", "dev", ((3, 13),)),
        Environment("airflow-3.3-py3.14", "3.3", VENVS / "airflow-3.3-py3.14", "dev", ((3, 14),)),
        Environment("docs", "docs", VENVS / "docs", "", ((3, 11), (3, 12), (3, 13))),
        # For tests/judges: third-party packages only, without this project.
        Environment("judge-mcp-1", "judge-mcp-1", VENVS / "judge-mcp-1", "", ((3, 11), (3, 12), (3, 13))),
        Environment("judge-mcp-2", "judge-mcp-2", VENVS / "judge-mcp-2", "", ((3, 11), (3, 12), (3, 13))),
        # The oldest versions that pyproject.toml allows; set up only by name.
        Environment("floors", "floors", VENVS / "floors", "test", ((3, 11), (3, 12))),
        # For `make bench`, with the peers; set up only by name.
        Environment("bench", "bench", VENVS / "bench", "pdf", ((3, 12), (3, 11), (3, 13))),
    )
}
#: The environments that `make test` requires. The others are set up if an interpreter exists.
REQUIRED = ("airflow-3.3", "airflow-2.11", "airflow-3.1", "airflow-3.2")


def say(text: str) -> None:
    print(f"[setup] {text}", flush=True)


def run(command: Sequence[str | Path], what: str, **env: str) -> None:
    """Run a program, and show its output only if it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SetupError(f"{what} failed (exit {done.returncode}):\n{done.stdout.strip()}")


# -- interpreters


@functools.cache
def describe(program: str) -> tuple[str, Version, bool] | None:
    """Run an interpreter to get its real path, its version, and whether it can create environments with pip.

    A file named python3.12 may be a shim of a version manager that only prints an error, so the interpreter must run.
    """
    code = (
        "import sys, importlib.util as u; "
        "print(getattr(sys, '_base_executable', None) or sys.executable); "
        "print(*sys.version_info[:2]); "
        "print(sys.implementation.name); "
        "print(int(all(u.find_spec(m) for m in ('venv', 'ensurepip', 'sqlite3', 'ssl'))))"
    )
    try:
        done = subprocess.run([program, "-I", "-c", code], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    answer = done.stdout.splitlines()
    if done.returncode or len(answer) != 4 or answer[2] != "cpython":
        return None
    major, minor = answer[1].split()
    return answer[0], (int(major), int(minor)), answer[3] == "1"


def candidates(version: Version) -> list[str]:
    """Return the possible paths of an interpreter of this version, starting with the one that runs this script."""
    name = f"python{version[0]}.{version[1]}"
    found = [sys.executable]
    for folder in os.get_exec_path():
        program = Path(folder) / name
        if os.access(program, os.X_OK):
            found.append(str(program))
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    dotted = f"{version[0]}.{version[1]}."
    found += [str(p / "bin" / name) for p in sorted(pyenv.glob(f"{dotted}*"), reverse=True)]
    uv = VENVS / "uv" / "bin" / "uv"
    if uv.exists():
        done = subprocess.run(
            [uv, "python", "find", "--no-python-downloads", "--no-project", dotted.rstrip(".")],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0 and done.stdout.strip():
            found.append(done.stdout.strip())
    return found


def find_python(versions: tuple[Version, ...], purpose: str) -> str:
    """Return the first working interpreter of one of the versions with venv, ensurepip, sqlite3 and ssl.

    Raises NoInterpreter, with the tried paths, if there is none.
    """
    running = sys.version_info[:2]
    incomplete: list[str] = []
    for version in sorted(versions, key=lambda v: (v != running, v)):
        for program in candidates(version):
            known = describe(program)
            if known is None or known[1] != version:
                continue
            if known[2]:
                return known[0]
            incomplete.append(program)
    wanted = ", ".join(f"{a}.{b}" for a, b in versions)
    text = f"{purpose} needs CPython {wanted}; none that works is on PATH or known to pyenv or uv."
    if incomplete:
        text += (
            f" {incomplete[0]} lacks one of the modules venv, ensurepip, sqlite3, ssl"
            " (on Debian: apt-get install python3-venv)."
        )
    raise NoInterpreter(text)


def install_venv_package() -> bool:
    """As root on Debian, install the package that python3 needs to create environments. Return whether it did."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    known = describe(sys.executable)
    if known is None or known[2]:
        return False
    name = f"python{known[1][0]}.{known[1][1]}-venv"
    say(f"installing the Debian package {name}, without which python3 makes no environments")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-q"], "apt-get update", **quiet)
    run(["apt-get", "install", "-y", "-q", "--no-install-recommends", name], f"installing {name}", **quiet)
    describe.cache_clear()
    return True


# -- environments


def bootstrap() -> Path:
    """Install the pinned uv by pip with hashes, and return the path of its program."""
    lock = REQUIREMENTS / "bootstrap.txt"
    folder = VENVS / "uv"
    uv = folder / "bin" / "uv"
    stamp = folder / STAMP
    wanted = hashlib.sha256(lock.read_bytes() + str(folder).encode()).hexdigest()
    if uv.exists() and stamp.exists() and stamp.read_text() == wanted:
        return uv
    versions: tuple[Version, ...] = ((3, 11), (3, 12), (3, 13), (3, 14))
    try:
        python = find_python(versions, "setting up")
    except NoInterpreter:
        if not install_venv_package():
            raise
        python = find_python(versions, "setting up")
    say("installing uv")
    shutil.rmtree(folder, ignore_errors=True)
    run([python, "-m", "venv", folder], "creating .venvs/uv")
    pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install"]
    run([*pip, "--quiet", "--require-hashes", "--only-binary", ":all:", "-r", lock], "installing uv with pip")
    stamp.write_text(wanted)
    return uv


def install(env: Environment) -> bool:
    """Bring one environment up to date. Return whether anything changed.

    Raises SetupError: no suitable interpreter, or a package could not be installed.
    """
    stamp = env.path / STAMP
    wanted = env.stamp()
    if env.python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return False
    began = time.monotonic()
    python = find_python(env.pythons, f"the environment {env.name}")
    uv = bootstrap()
    say(f"{env.name}: installing into {env.path.relative_to(ROOT)} with {python}")
    stamp.unlink(missing_ok=True)
    same = env.python.exists() and (describe(str(env.python)) or ("", (0, 0), False))[1] in env.pythons
    if not same:
        run(
            [uv, "venv", "--quiet", "--clear", "--no-python-downloads", "--python", python, env.path],
            "uv venv",
        )
    pip: list[str | Path] = [uv, "pip"]
    into: list[str | Path] = ["--quiet", "--python", env.python, "--no-python-downloads"]
    run([*pip, "sync", *into, "--require-hashes", env.lock], f"installing {env.lock.name}")
    # hatchling is in the lock, so building the editable install downloads only pinned packages.
    editable = ["--no-deps", "--no-build-isolation", "--editable", ".", "--editable", "./simulator"]
    if env.extra:
        run([*pip, "install", *into, *editable], "installing this checkout")
    run([*pip, "check", *into[1:]], "uv pip check")
    stamp.write_text(wanted)
    say(f"{env.name}: ready after {time.monotonic() - began:.0f} s")
    return True


def lock_requirements(upgrade: bool = False) -> None:
    """Rewrite every requirements/*.txt from its .in file and pyproject.toml."""
    uv = bootstrap()
    common: list[str | Path] = [
        "--universal",
        "--python-version",
        "3.11",
        "--generate-hashes",
        "--no-annotate",
        "--no-emit-index-url",
        "--no-emit-find-links",
        # Comes from this repository.
        "--no-emit-package",
        "oac-simulator",
        "--custom-compile-command",
        "make lock",
        "--quiet",
        *(["--upgrade"] if upgrade else []),
    ]
    for env in {e.line: e for e in reversed(ENVIRONMENTS.values())}.values():
        source = env.lock.with_suffix(".in")
        project = ["pyproject.toml", "--extra", env.extra] if env.extra else []
        oldest = ["--resolution", "lowest-direct"] if env.line == "floors" else []
        with tempfile.TemporaryDirectory() as folder:
            constraints: list[str | Path] = []
            if env.line[0].isdigit():
                # The lock must be compatible with every extra, including those that it does not contain.
                every = Path(folder) / "every-extra.txt"
                shutil.copy(env.lock, every)
                extras = ["pyproject.toml", "--all-extras"]
                run([uv, "pip", "compile", *extras, source, "-o", every, *common], f"locking {source.name}, all extras")
                constraints = ["--constraint", every]
            into = ["-o", env.lock, *constraints, *common, *oldest]
            run([uv, "pip", "compile", *project, source, *into], f"locking {source.name}")
    bootstrap_in = REQUIREMENTS / "bootstrap.in"
    run(
        [uv, "pip", "compile", bootstrap_in, "-o", bootstrap_in.with_suffix(".txt"), *common],
        "locking bootstrap.in",
    )
    for path in sorted(REQUIREMENTS.glob("*.txt")):
        if re.search(r"https?://|file:|^-|" + re.escape(str(ROOT)), path.read_text(), re.MULTILINE):
            raise SetupError(f"{path.name} names an address or a path of this machine: it must hold names and hashes")
        say(f"locked {path.relative_to(ROOT)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="ENVIRONMENT", help=", ".join(ENVIRONMENTS))
    parser.add_argument("--all", action="store_true", help="every environment there is a Python for")
    parser.add_argument("--lock", action="store_true", help="write requirements/*.txt anew")
    parser.add_argument("--upgrade", action="store_true", help="with --lock: newest versions that fit")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(ENVIRONMENTS))
    if unknown:
        parser.error(f"no environment is called {', '.join(unknown)}; there are {', '.join(ENVIRONMENTS)}")
    try:
        if options.lock:
            lock_requirements(options.upgrade)
            return 0
        for name in (
            [name for name in ENVIRONMENTS if name not in ("bench", "floors")]
            if options.all
            else options.names or ["airflow-3.3"]
        ):
            try:
                if not install(ENVIRONMENTS[name]):
                    say(f"{name}: up to date")
            except NoInterpreter as problem:
                if options.all and name not in REQUIRED:
                    say(f"{name}: left out. {problem}")
                else:
                    raise
    except SetupError as problem:
        print(f"[setup] {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
