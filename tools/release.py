#!/usr/bin/env python3
"""Build and check a release: `make release` writes both distributions, an SBOM and the release notes to dist/.

The build is reproducible: archives have the time of the last commit, and two builds must be identical. The program
installs both wheels in a clean environment, with the locked versions, where `pip check` must pass.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
UV = ROOT / ".venvs" / "uv" / "bin" / "uv"
TWINE = ROOT / ".venvs" / "docs" / "bin" / "twine"
LOCK = ROOT / "requirements" / "airflow-3.3.txt"


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    """Run a command and return its output; exit with its errors if it fails."""
    done = subprocess.run(list(command), cwd=ROOT, env={**os.environ, **(env or {})}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(folder: Path) -> dict[str, str]:
    """Build both distributions; return names and SHA-256 of the files."""
    shutil.rmtree(folder, ignore_errors=True)
    moment = {"SOURCE_DATE_EPOCH": run("git", "log", "-1", "--format=%ct").strip()}
    for source in (ROOT, ROOT / "simulator"):
        run(UV, "build", "--out-dir", folder, source, env=moment)
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.suffix in (".whl", ".gz")
    }


def check(folder: Path, environment: Path) -> None:
    """Check the metadata, and install both wheels with locked dependencies in an empty environment."""
    run(TWINE, "check", "--strict", *folder.glob("*.whl"), *folder.glob("*.tar.gz"))
    run(UV, "venv", "--clear", "--python", sys.executable, environment)
    python = environment / "bin" / "python"
    run(UV, "pip", "install", "--python", python, "--require-hashes", "-r", LOCK)
    run(UV, "pip", "install", "--python", python, "--no-deps", *folder.glob("*.whl"))
    run(UV, "pip", "check", "--python", python)
    run(python, "-m", "airflow_provider_oac", "--help")


def sbom(environment: Path, version: str) -> dict[str, object]:
    """Build the bill of materials (CycloneDX 1.5) of the provider and its installed dependencies."""
    listed = json.loads(run(UV, "pip", "list", "--python", environment / "bin" / "python", "--format", "json"))
    parts = [
        {"type": "library", "name": part["name"], "version": part["version"],
         "purl": f"pkg:pypi/{part['name'].lower()}@{part['version']}"}
        for part in listed
        if part["name"] != "airflow-provider-oac"
    ]  # fmt: skip
    me = {"type": "library", "name": "airflow-provider-oac", "version": version}
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([me, parts]))
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "serialNumber": f"urn:uuid:{serial}", "version": 1,
        "metadata": {"component": me}, "components": parts,
    }  # fmt: skip


def notes(version: str) -> str:
    """Return the section of CHANGELOG.md for a version.

    :raises LookupError: if there is no such section.
    """
    text = (ROOT / "CHANGELOG.md").read_text()
    found = re.search(rf"^## {re.escape(version)}\b[^\n]*\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    if found is None:
        raise LookupError(f"CHANGELOG.md has no section for {version}")
    return found[1].strip() + "\n"


def main() -> None:
    """Build, check and describe the release."""
    version = re.findall(r'__version__ = "(.+)"', (ROOT / "airflow_provider_oac" / "__init__.py").read_text())[0]
    first = build(DIST)
    again = ROOT / "build" / "again"
    if build(again) != first:
        sys.exit("Building twice gave different bytes.")
    environment = ROOT / "build" / "release-env"
    check(DIST, environment)
    (DIST / "sbom.cdx.json").write_text(json.dumps(sbom(environment, version), indent=2) + "\n")
    (DIST / "RELEASE_NOTES.md").write_text(notes(version))
    for name, digest in first.items():
        print(f"{digest}  {name}")


if __name__ == "__main__":
    main()
