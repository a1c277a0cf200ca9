#!/usr/bin/env python3
"""Write `.env` for docker-compose.yml, with generated secrets, readable only by you.

Existing values do not change, so a second run, or a run after an update, only adds new ones. Standard library only.
"""

from __future__ import annotations

import argparse
import base64
import os
import secrets
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def generated() -> dict[str, str]:
    """Generate a value for every secret that docker-compose.yml needs."""
    return {
        "FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "API_SECRET_KEY": secrets.token_hex(32),
        "JWT_SECRET": secrets.token_hex(64),
        # Hexadecimal needs no escaping in URLs.
        "POSTGRES_PASSWORD": secrets.token_hex(24),
        "REDIS_PASSWORD": secrets.token_hex(24),
        "ADMIN_PASSWORD": secrets.token_urlsafe(12),
    }


def read(path: Path) -> dict[str, str]:
    """Read the names and values of an `.env` file; empty if the file does not exist."""
    lines = path.read_text().splitlines() if path.exists() else []
    pairs = (line.partition("=") for line in lines if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def write(path: Path) -> list[str]:
    """Add missing values and return their names. The file is replaced atomically and has mode 0600."""
    present = read(path)
    missing = {name: value for name, value in generated().items() if not present.get(name)}
    kept = [
        line
        for line in (path.read_text().splitlines() if path.exists() else [])
        if line.partition("=")[0].strip() not in missing
    ]
    lines = [*kept, *(f"{name}={value}" for name, value in missing.items())]
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".env-")  # mkstemp creates it with mode 0600
    with os.fdopen(handle, "w") as out:
        out.write("\n".join(lines) + "\n")
    Path(draft).replace(path)
    return list(missing)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", metavar="FILE", nargs="?", type=Path, default=ROOT / ".env", help="%(default)s")
    path = parser.parse_args().file
    added = write(path)
    print(f"{path}: {'added ' + ', '.join(added) if added else 'nothing was missing'}")
    print("Sign in at http://127.0.0.1:8080 as `admin` with the ADMIN_PASSWORD of that file.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
