"""Commands that test a Connection, call OAC or show a token: check, call, decode."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import requests

from airflow_provider_oac.auth.claims import claims, header
from airflow_provider_oac.auth.token_file import access_token_of
from airflow_provider_oac.cli.process import CommandFailed, answer, hook, say, tell
from airflow_provider_oac.cli.sign_in import read_text
from airflow_provider_oac.exceptions import OACTransportError
from airflow_provider_oac.hooks.connection_test import FAILED, Report, Step
from airflow_provider_oac.hooks.object_storage import new_file

_MARKS = {"ok": "ok  ", "note": "note", "warning": "WARN", "failed": "FAIL"}
_LARGEST_DATA = 64 << 20
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def check(arguments: argparse.Namespace) -> int:
    """``check``: test a Connection step by step."""
    try:
        report = hook(arguments.oac_conn_id).check()
    except CommandFailed as problem:
        if not arguments.json:
            raise
        report = Report(arguments.oac_conn_id, (Step("connection", FAILED, str(problem)),), {})
    if arguments.json:
        say(json.dumps(report.as_dict(), indent=2))
    else:
        for step in report.steps:
            say(f"[{_MARKS[step.state]}] {step.name}: {step.text}")
        say(f"\nConnection {report.conn_id!r} {'works' if report.works else 'does not work'}.")
    return 0 if report.works else 1


def call(arguments: argparse.Namespace) -> int:
    """``call``: send one signed-in request and write the body of the response to standard output."""
    if arguments.method not in _METHODS:
        raise CommandFailed(f"{arguments.method!r} is no method of HTTP. Known are: {', '.join(_METHODS)}.")
    oac = hook(arguments.oac_conn_id)
    headers = {"Accept": "application/json, */*;q=0.5"}
    body = _body(arguments.data)
    if body is not None:
        headers["Content-Type"] = "application/json"
    elif arguments.method == "POST":
        # OAC answers an empty POST without Content-Length with 411 (observed).
        body = b""
    failure = ""
    with oac.get_conn() as session:
        try:
            reply = session.request(arguments.method, arguments.path, data=body, headers=headers, stream=True)
            # An error, or the redirect of a wrong address, must not replace an existing file.
            good = 200 <= reply.status_code < 300
            with output(arguments.output if good else None) as out:
                for piece in reply.iter_content(1 << 16):
                    out.write(piece)
                out.flush()
        except requests.RequestException as error:
            failure = type(error).__name__
    if failure:
        raise OACTransportError(
            f"{arguments.method} {arguments.path} at {oac.settings.address} got no complete answer ({failure}). Run "
            "`check` to see what is wrong.",
            sent=True,
        )
    if good:
        return 0
    tell(f"error: OAC answered HTTP {reply.status_code} {reply.reason or ''}".rstrip() + ".")
    if reply.is_redirect:
        tell(
            f"It redirects to {reply.headers['Location'][:200]}, and no redirect is followed with credentials. Check "
            "the Connection's host and the path."
        )
    return 1


def decode(arguments: argparse.Namespace) -> int:
    """``decode``: show the claims of an access token, without the token."""
    token = access_token_of(read_text(arguments.file))
    found = claims(token)
    if not found:
        raise CommandFailed("This is no access token that can be read: those of identity domains are JWTs, of 3 parts.")
    times = {name: text for name in ("iat", "nbf", "exp") if (text := _readable(found.get(name)))}
    expires = found.get("exp")
    state = {"expired": expires <= time.time()} if isinstance(expires, int | float) else {}
    shown = {"header": header(token), "claims": found, "times": times, **state, "verified": False}
    say(json.dumps(shown, indent=2, ensure_ascii=False))
    return 0


def _readable(moment: Any) -> str | None:
    if isinstance(moment, bool) or not isinstance(moment, int | float) or not 0 <= moment < 1e11:
        return None
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))


def _body(data: str | None) -> bytes | None:
    if data is None:
        return None
    text = read_text(data[1:], _LARGEST_DATA) if data.startswith("@") else data
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        raise CommandFailed("--data is not JSON. Mind the shell's quotes, or use --data @FILE.") from None
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
