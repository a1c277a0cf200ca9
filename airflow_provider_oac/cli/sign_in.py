"""Commands that start and end a sign-in: login, import-tokens, logout."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_oac import lazy
from airflow_provider_oac.auth.claims import looks_personal
from airflow_provider_oac.auth.device import DeviceCode, forget, sign_in_and_keep
from airflow_provider_oac.auth.shared_store import keep_sign_in
from airflow_provider_oac.auth.token_file import read_token_file
from airflow_provider_oac.cli.process import CommandFailed, hook, say, tell
from airflow_provider_oac.transport.blocking import run

if TYPE_CHECKING:
    from airflow_provider_oac.auth.store import StoreEntry
    from airflow_provider_oac.hooks.oac import OACHook

_LARGEST = 1 << 20


def login(arguments: argparse.Namespace) -> None:
    """``login``: let a user sign in with a code, and keep the refresh token in the store."""
    oac = hook(arguments.oac_conn_id)
    auth, store_entry = oac.settings.auth, _store_entry_of(oac)
    progress = _Progress()
    try:
        record = run(sign_in_and_keep(oac.io, store_entry, auth, progress.show, progress.waiting))
    finally:
        progress.end()
    say(f"Signed in at {auth.identity_url} as {record.owner or 'a user whom the token does not name'}.")
    _say_kept(oac, store_entry)
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
            f"Only the access token can be used, until {until}: {imported.unrenewable}. That is enough to try "
            f"something, and not for a schedule. For that, {auth.login_step}"
        )
    else:
        say(
            "The refresh token is good for one renewal by this application, which brings the next one; tasks do "
            "that by themselves. The chain ends if it is not used for as long as refresh tokens live (a week by "
            "default), and if anything but this store uses the refresh token."
        )
        _say_personal(imported.owner)
    _say_kept(oac, store_entry)
    if arguments.file != "-":
        say(f"Delete {arguments.file}: its tokens let any reader act as that user.")


def logout(arguments: argparse.Namespace) -> None:
    """``logout``: revoke the refresh token, and remove all of the Connection's tokens from the store."""
    oac = hook(arguments.oac_conn_id)
    auth, store_entry = oac.settings.auth, oac.store_entry
    if store_entry is None:
        say("There is nothing to forget: [oac] store is memory, and no process keeps tokens for another one.")
        return
    had = run(forget(oac.io, store_entry, auth))
    say(f"Revoked the refresh token at {auth.identity_url}." if had else "There was no refresh token to revoke.")
    say(f"Nothing of Connection {arguments.oac_conn_id!r} is left in {store_entry.where}.")
    if auth.refresh_token:
        say("The Connection still holds the refresh token that its chain began with: empty that field.")


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
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise CommandFailed(f"{name} cannot be read: {reason}.") from None
    if len(text) > largest:
        raise CommandFailed(f"{name} is larger than {largest} characters.")
    return text


def _store_entry_of(oac: OACHook) -> StoreEntry:
    """Return the store entry for a user's tokens. It is imported lazily: some commands do not need Airflow."""
    return lazy.stores.store_entry_for_a_person(oac.settings, oac.store_entry)


def _say_kept(oac: OACHook, store_entry: StoreEntry) -> None:
    say(f"Kept, encrypted, in {store_entry.where}; all tasks with the Connection {oac.oac_conn_id!r} use it.")
    say(f"Next: python -m airflow_provider_oac check --oac-conn-id {shlex.quote(oac.oac_conn_id)}")


def _say_personal(owner: str | None) -> None:
    if owner and looks_personal(owner):
        say(
            f"Note: {owner} looks like a person. When that person leaves or is deactivated, the DAGs stop. Let a "
            "service account sign in instead, or use the grant jwt_assertion, which needs no person."
        )


class _Progress:
    """Shows the user how to sign in, and that the command is still waiting."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._said: float | None = None

    def show(self, code: DeviceCode) -> None:
        """Print where to approve the sign-in."""
        tell(f"On any device, open   {code.verification_uri}")
        tell(f"and enter the code    {code.user_code}")
        if code.verification_uri_complete:
            tell(f"or open               {code.verification_uri_complete}")
        tell("Sign in there as the user whose rights the DAGs are to have. (Ctrl-C gives up, and nothing is kept.)")

    def waiting(self, left: float) -> None:
        """Print that the command is still waiting: on one line of a terminal, else every half minute."""
        if self._live:
            tell(f"waiting, {left:3.0f} s left ", end="\r")
        elif self._said is None or self._said - left >= 30:
            tell(f"waiting, {left:.0f} s left")
        else:
            return
        self._said = left

    def end(self) -> None:
        """End the line on a terminal."""
        if self._live and self._said is not None:
            tell("")
