"""Commands that start and end a sign-in: login, import-tokens, logout."""

from __future__ import annotations

import argparse
import math
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_oac import lazy
from airflow_provider_oac.auth.device import DeviceCode, forget, sign_in_and_keep
from airflow_provider_oac.auth.shared_store import keep_sign_in
from airflow_provider_oac.auth.token_file import read_token_file
from airflow_provider_oac.cli.process import CommandFailed, hook, say, tell
from airflow_provider_oac.hooks.connection_test import personal_account
from airflow_provider_oac.transport.blocking import run

if TYPE_CHECKING:
    from airflow_provider_oac.auth.store import StoreEntry
    from airflow_provider_oac.hooks.oac import OACHook

_LARGEST = 1 << 20


def login(arguments: argparse.Namespace) -> None:
    """``login``: let a user sign in with a code, and keep the refresh token in the store."""
    oac = hook(arguments.oac_conn_id)
    auth, store_entry = oac.settings.auth, _store_entry_of(oac)
    record = run(sign_in_and_keep(oac.io, store_entry, auth, _show_code, _Waiting()))
    say(f"Signed in at {auth.identity_url} as {record.owner or 'a user whom the token does not name'}.")
    _say_stored(oac, store_entry)
    _say_personal(record.owner)


def import_tokens(arguments: argparse.Namespace) -> None:
    """``import-tokens``: keep the tokens of a file in the store."""
    oac = hook(arguments.oac_conn_id)
    auth, store_entry = oac.settings.auth, _store_entry_of(oac)
    imported = read_token_file(read_text(arguments.file), auth, time.time())
    token = imported.issued.token
    run(keep_sign_in(oac.io, store_entry, auth, imported.issued, imported.unrenewable))
    say(f"The tokens belong to {imported.owner or 'a user whom they do not name'}.")
    if imported.unrenewable:
        until = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(token.expires_at))
        say(
            f"Only the access token can be used, until {until}: {imported.unrenewable}. Before a schedule uses the "
            f"Connection, {auth.login_step}"
        )
    else:
        say(
            "Tasks renew the refresh token by themselves. It expires if no task uses it for a week (the default), or "
            "if another program uses it."
        )
        _say_personal(imported.owner)
    _say_stored(oac, store_entry)
    if arguments.file != "-":
        say(f"Delete {arguments.file}: any reader of its tokens can act as that user.")


def logout(arguments: argparse.Namespace) -> None:
    """``logout``: revoke the refresh token, and remove all of the Connection's tokens from the store."""
    oac = hook(arguments.oac_conn_id)
    auth, store_entry = oac.settings.auth, oac.store_entry
    if store_entry is None:
        say("No tokens are stored: [oac] store is memory.")
        return
    revoked = run(forget(oac.io, store_entry, auth))
    say(f"Revoked the refresh token at {auth.identity_url}." if revoked else "There was no refresh token to revoke.")
    say(f"Deleted all tokens of Connection {arguments.oac_conn_id!r} from {store_entry.where}.")
    if auth.refresh_token:
        say("The Connection still holds its first refresh token. Clear that field.")


def read_text(name: str, largest: int = _LARGEST) -> str:
    """Read a file, or standard input if the name is ``-``.

    :param largest: the maximum number of characters.
    :raises CommandFailed: if it cannot be read or is larger.
    """
    try:
        if name == "-":
            text = sys.stdin.read(largest + 1)
        else:
            with Path(name).expanduser().open(encoding="utf-8") as file:
                text = file.read(largest + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise CommandFailed(f"{name} cannot be read: {reason}.") from None
    if len(text) > largest:
        raise CommandFailed(f"{name} is larger than {largest} characters.")
    return text


def _store_entry_of(oac: OACHook) -> StoreEntry:
    """Return the store entry for a user's tokens. It is imported lazily: some commands do not need Airflow."""
    return lazy.stores.store_entry_for_a_person(oac.settings, oac.store_entry)


def _say_stored(oac: OACHook, store_entry: StoreEntry) -> None:
    say(f"Stored, encrypted, in {store_entry.where}. All tasks with Connection {oac.oac_conn_id!r} use it.")
    say(f"Next: python -m airflow_provider_oac check --oac-conn-id {shlex.quote(oac.oac_conn_id)}")


def _say_personal(owner: str | None) -> None:
    if advice := personal_account(owner):
        say(f"Note: {advice}")


def _show_code(code: DeviceCode) -> None:
    """Print where to approve the sign-in."""
    tell(f"On any device, open   {code.verification_uri}")
    tell(f"and enter the code    {code.user_code}")
    if code.verification_uri_complete:
        tell(f"or open               {code.verification_uri_complete}")
    tell("Sign in there as the user that the DAGs act as. Ctrl-C cancels, and nothing is stored.")


class _Waiting:
    """Prints every half minute that the command is still waiting."""

    def __init__(self) -> None:
        self._next = math.inf

    def __call__(self, left: float) -> None:
        """Report the seconds until the code expires."""
        if left <= self._next:
            tell(f"waiting, {left:.0f} s left")
            self._next = left - 30.0
