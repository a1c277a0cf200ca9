"""Declares the commands of both command lines. Each start of ``airflow`` imports this module: keep it light."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeAlias

Argument: TypeAlias = tuple[tuple[str, ...], dict[str, Any]]


@dataclass(frozen=True)
class Command:
    """One command.

    :param function: module below this package, and name of the function that runs the command.
    """

    name: str
    help: str
    description: str
    function: str
    arguments: tuple[Argument, ...]


def _argument(*flags: str, **options: Any) -> Argument:
    """Return an argument in the form of argparse."""
    return flags, options


_CONN_ID = _argument("--oac-conn-id", default="oac_default", metavar="ID", help="the Airflow Connection (oac_default)")

COMMANDS = (
    Command(
        "new",
        "write a DAG file to begin with",
        "Writes a commented DAG file and says which Connections, policies and permissions it needs. Asks on a terminal "
        "for what is not given as an option.",
        "new.new",
        (
            _argument("kind", choices=("backup", "export", "reload"), help="what the DAG does"),
            _argument("--output", metavar="FILE", help="the file (oac_backup.py and so on); its name is the DAG's id"),
            _argument("--oac-conn-id", metavar="ID", help="the Airflow Connection (oac_default)"),
            _argument("--schedule", metavar="CRON", help="when the DAG runs"),
            _argument("--bucket", metavar="NAME", help="backup: the bucket"),
            _argument("--seal-conn-id", metavar="ID", help="backup: the Airflow Connection whose password seals"),
            _argument("--workbook", metavar="PATH", help="export: the workbook"),
            _argument("--destination", metavar="URL", help="export: the folder"),
            _argument("--dataset", metavar="NAME", help="reload: the dataset, as 'owner'.'name'"),
            _argument("--if-running", choices=("fail", "wait", "adopt"), help="reload: if it is reloading already"),
        ),
    ),
    Command(
        "login",
        "sign a person in and keep the refresh token",
        "Asks the identity domain for a code, shows it, waits until a person has approved it, and keeps the refresh "
        "token in the store ([oac] store), where tasks go on from it. For the grants device_code and refresh_token.",
        "sign_in.login",
        (_CONN_ID,),
    ),
    Command(
        "import-tokens",
        "keep the tokens of a file",
        "Reads a token file that the identity console (Generate Access Token) or OAC's Profile page handed out, says "
        "what its refresh token is good for, and keeps it in the store. Delete the file afterwards.",
        "sign_in.import_tokens",
        (_argument("file", metavar="FILE", help="the file; - reads standard input"), _CONN_ID),
    ),
    Command(
        "check",
        "try a Connection step by step",
        "Signs in past every cache, says whose sign-in it is and what that user may do, and what to do next. Ends "
        "with 1 if the Connection does not work.",
        "inspect.check",
        (_CONN_ID, _argument("--json", action="store_true", help="for programs")),
    ),
    Command(
        "call",
        "call OAC's REST API, signed in",
        "Sends one request and writes the body of the answer to standard output. Paths are taken from /api/20210901 "
        "on. Ends with 1 if OAC answers with an error.",
        "inspect.call",
        (
            _argument("method", metavar="METHOD", type=str.upper, help="GET, POST, PUT or DELETE"),
            _argument("path", metavar="PATH", help="such as '/catalog?search=*' (mind the quotes)"),
            _argument("--data", metavar="JSON", help="body; @FILE reads it from a file, @- from standard input"),
            _argument("--output", metavar="FILE", help="where the answer goes; by default standard output"),
            _CONN_ID,
        ),
    ),
    Command(
        "keygen",
        "make a key and a certificate for the grant jwt_assertion",
        "Makes an RSA key and a self-signed certificate, and says what to upload where, and how to replace them.",
        "keygen.keygen",
        (
            _argument("--folder", metavar="DIR", default=".", help="where the two files go (here)"),
            _argument("--name", default="airflow", help="name of the files and of the alias (airflow)"),
            _argument("--days", type=int, default=730, help="how long the certificate is valid (730)"),
            _argument("--bits", type=int, choices=(2048, 3072, 4096), default=2048, help="size of the key (2048)"),
            _argument("--encrypt", action="store_true", help="ask for a passphrase and encrypt the key with it"),
        ),
    ),
    Command(
        "decode",
        "show what an access token says of itself",
        "Shows header, claims and times of an access token, for support; never the token, and nothing is verified. "
        "Reads the token, or a token file.",
        "inspect.decode",
        (_argument("file", metavar="FILE", nargs="?", default="-", help="the file; by default standard input"),),
    ),
    Command(
        "conformance",
        "compare a real instance with the contract",
        "Reads what the REST API lets the user read, compares each answer with the contract that this provider was "
        "built from, and writes a report without names, addresses and secrets, fit to attach to a bug report. Changes "
        "nothing, unless --allow-write is given. Ends with 1 if something disagreed.",
        "conformance.conformance",
        (
            _CONN_ID,
            _argument("--output", metavar="FILE", help="where the report goes; by default standard output"),
            _argument("--json", action="store_true", help="for programs"),
            _argument("--sql", metavar="SOURCE", help="also ask the MCP server, about this subject area or dataset"),
            _argument("--allow-write", action="store_true", help="also take a snapshot and remove it with its file"),
            _argument("--bucket", metavar="NAME", help="bucket for that snapshot"),
            _argument("--seal-conn-id", metavar="ID", help="the Airflow Connection whose password seals that snapshot"),
        ),
    ),
    Command(
        "logout",
        "revoke the refresh token and forget it",
        "Revokes the refresh token at the identity domain and forgets all tokens of the Connection in the store.",
        "sign_in.logout",
        (_CONN_ID,),
    ),
)


def airflow_commands() -> list[Any]:
    """Return the commands for ``airflow oac …``."""
    # `python -m airflow_provider_oac` avoids importing Airflow if a command does not need it.
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    commands = [
        ActionCommand(
            name=command.name,
            help=command.help,
            description=command.description,
            func=_runner(command),
            args=[Arg(flags, **options) for flags, options in command.arguments],  # type: ignore[no-untyped-call]
        )
        for command in COMMANDS
    ]
    return [GroupCommand(name="oac", help="Oracle Analytics Cloud: sign in, check, call", subcommands=commands)]


def parser() -> argparse.ArgumentParser:
    """Return the parser for ``python -m airflow_provider_oac …``."""
    top = argparse.ArgumentParser(
        prog="python -m airflow_provider_oac", description="Oracle Analytics Cloud: sign in, check, call."
    )
    subparsers = top.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        sub = subparsers.add_parser(command.name, help=command.help, description=command.description)
        for flags, options in command.arguments:
            sub.add_argument(*flags, **options)
        sub.set_defaults(run=_runner(command))
    return top


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and end the process with its exit code."""
    chosen = parser().parse_args(arguments)
    chosen.run(chosen)


def _runner(command: Command) -> Callable[[argparse.Namespace], None]:
    """Return a function that imports and runs a command."""
    module, _, name = command.function.rpartition(".")

    def run(arguments: argparse.Namespace) -> None:
        # Airflow builds this parser for every command that it runs.
        from airflow_provider_oac.cli.process import as_command

        as_command(lambda: getattr(import_module(f"{__package__}.{module}"), name)(arguments))

    return run
