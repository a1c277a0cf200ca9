"""Commands that test a Connection, call OAC or show a token: check, call, decode."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

import requests

from airflow_provider_oac.auth.claims import claims, header
from airflow_provider_oac.auth.token_file import access_token_of
from airflow_provider_oac.cli.process import CommandFailed, answer, hook, say, tell
from airflow_provider_oac.cli.sign_in import read_text
from airflow_provider_oac.hooks.connection_test import unreadable
from airflow_provider_oac.hooks.object_storage import new_file

_MARKS = {"ok": "ok  ", "note": "note", "warning": "WARN", "failed": "FAIL"}
_LARGEST_DATA = 64 << 20


def check(arguments: argparse.Namespace) -> int:
    """``check``: test a Connection step by step."""
    try:
        report = hook(arguments.oac_conn_id).check()
    except CommandFailed as problem:
        if not arguments.json:
            raise
        report = unreadable(arguments.oac_conn_id, str(problem))
    if arguments.json:
        say(json.dumps(report.as_dict(), indent=2))
    else:
        for step in report.steps:
            say(f"[{_MARKS[step.state]}] {step.name}: {step.text}")
        say(f"\nConnection {report.conn_id!r} {'works' if report.works else 'does not work'}.")
    return 0 if report.works else 1


def call(arguments: argparse.Namespace) -> int:
    """``call``: send one signed-in request and write the body of the response to standard output."""
    oac = hook(arguments.oac_conn_id)
    headers = {"Accept": "application/json, */*;q=0.5"}
    body = _body(arguments.data)
    if body is not None:
        headers["Content-Type"] = "application/json"
    elif arguments.method == "POST":
        # OAC answers an empty POST without Content-Length with 411 (observed).
        body = b""
    with oac.get_conn() as session:
        try:
            response = session.request(arguments.method, arguments.path, data=body, headers=headers, stream=True)
            # An error, or the redirect of a wrong address, must not replace an existing file.
            good = 200 <= response.status_code < 300
            with output(arguments.output if good else None) as out:
                for piece in response.iter_content(1 << 16):
                    out.write(piece)
                out.flush()
        except requests.RequestException as error:
            raise CommandFailed(
                f"{arguments.method} {arguments.path} at {oac.settings.address}: no complete response "
                f"({type(error).__name__}). Next step: run `check`."
            ) from None
    if good:
        return 0
    tell(f"error: OAC answered HTTP {response.status_code} {response.reason or ''}".rstrip() + ".")
    if response.is_redirect:
        tell(
            f"It redirects to {response.headers['Location'][:200]}. Redirects are never followed. Check the "
            "Connection's host and the path."
        )
    return 1


def decode(arguments: argparse.Namespace) -> int:
    """``decode``: show the claims of an access token, without the token."""
    token = access_token_of(read_text(arguments.file))
    found = claims(token)
    if not found:
        raise CommandFailed("This is not a readable access token. Access tokens of identity domains are JWTs.")
    dates = {name: found[name] for name in ("iat", "nbf", "exp") if isinstance(found.get(name), int | float)}
    times = {
        name: time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(date))
        for name, date in dates.items()
        if 0 <= date < 1e11
    }
    expired = {"expired": dates["exp"] <= time.time()} if "exp" in dates else {}
    shown = {"header": header(token), "claims": found, "times": times, **expired, "verified": False}
    say(json.dumps(shown, indent=2, ensure_ascii=False))
    return 0


def _body(data: str | None) -> bytes | None:
    if data is None:
        return None
    text = read_text(data[1:], _LARGEST_DATA) if data.startswith("@") else data
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        raise CommandFailed("--data is not JSON. Check the shell's quotes, or use --data @FILE.") from None
    return text.encode()


@contextmanager
def output(name: str | None) -> Iterator[IO[bytes]]:
    """Open standard output, or a file that appears only when it is complete."""
    if name is None:
        yield answer()
        return
    part = f"{name}.{secrets.token_hex(8)}.part"
    try:
        file, mode = new_file(part)
        with file:
            yield file
            os.fchmod(file.fileno(), mode)
        os.replace(part, name)
    except OSError as error:
        # The errors of requests are OSErrors too, without an errno. They are not about the file.
        if error.errno is None:
            raise
        raise CommandFailed(f"{name} cannot be written: {error.strerror}.") from None
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part)
