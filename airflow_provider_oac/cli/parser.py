"""Declares the commands of both command lines. Each start of ``airflow`` imports this module: keep it light."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeAlias

Argument: TypeAlias = tuple[tuple[str, ...], dict[str, Any]]
_SUMMARY = "Oracle Analytics Cloud: sign in, check, call"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class Command:
    """One command.

    :param function: module below this package, and the function that runs the command. The function's name is the
        command's, with dashes.
    :param description: the first sentence is the command's entry in the list of commands.
    """

    function: str
    description: str
    arguments: tuple[Argument, ...]

    @property
    def name(self) -> str:
        """The command's name."""
        return self.function.rpartition(".")[2].replace("_", "-")

    @property
    def help(self) -> str:
        """The command's entry in the list of commands."""
        return self.description.partition(". ")[0].rstrip(".")


def _argument(*flags: str, **options: Any) -> Argument:
    """Return an argument in the form of argparse."""
    return flags, options


_CONN_ID = _argument("--oac-conn-id", default="oac_default", metavar="ID", help="the Airflow Connection (oac_default)")

COMMANDS = (
    Command(
        "new.new",
        "Write a DAG file to begin with. The file has comments, and the command prints which Connections, policies and "
        "permissions the DAG needs. On a terminal, it asks for missing options.",
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
            _argument("--if-running", choices=("fail", "wait", "adopt"), help="reload: if a reload is already running"),
        ),
    ),
    Command(
        "sign_in.login",
        "Sign in as a person and store the refresh token. The command shows a code of the identity domain and waits "
        "until a person has approved it. Tasks use the refresh token from the store ([oac] store). For the grants "
        "device_code and refresh_token.",
        (_CONN_ID,),
    ),
    Command(
        "sign_in.import_tokens",
        "Store the tokens of a file. The file comes from the identity console (Generate Access Token) or OAC's Profile "
        "page. The command prints what its refresh token can be used for. Delete the file afterwards.",
        (_argument("file", metavar="FILE", help="the file; - reads standard input"), _CONN_ID),
    ),
    Command(
        "inspect.check",
        "Test a Connection step by step. The command signs in without cached tokens, and prints the user, what the "
        "user may do, and the next step. The exit code is 1 if the Connection does not work.",
        (_CONN_ID, _argument("--json", action="store_true", help="print JSON, for programs")),
    ),
    Command(
        "inspect.call",
        "Call OAC's REST API, signed in. The command sends one request and writes the body of the response to standard "
        "output. Paths are relative to /api/20210901. The exit code is 1 if OAC answers with an error.",
        (
            _argument("method", metavar="METHOD", type=str.upper, choices=METHODS, help="such as GET"),
            _argument("path", metavar="PATH", help="such as '/catalog?search=*', in quotes"),
            _argument("--data", metavar="JSON", help="body; @FILE reads it from a file, @- from standard input"),
            _argument("--output", metavar="FILE", help="file for the response; by default standard output"),
            _CONN_ID,
        ),
    ),
    Command(
        "keygen.keygen",
        "Create a key and a certificate for the grant jwt_assertion. The command creates an RSA key and a self-signed "
        "certificate, and prints what to upload where, and how to replace them.",
        (
            _argument("--folder", metavar="DIR", default=".", help="folder of the two files (here)"),
            _argument("--name", default="airflow", help="name of the files and of the alias (airflow)"),
            _argument("--days", type=int, default=730, help="how long the certificate is valid (730)"),
            _argument("--bits", type=int, choices=(2048, 3072, 4096), default=2048, help="size of the key (2048)"),
        ),
    ),
    Command(
        "inspect.decode",
        "Show the claims of an access token. The command reads a token or a token file and prints header, claims and "
        "times, for support. It verifies nothing, and never prints the token.",
        (_argument("file", metavar="FILE", nargs="?", default="-", help="the file; by default standard input"),),
    ),
    Command(
        "conformance.conformance",
        "Compare a real instance with the contract. The command reads what the user may read, compares each response "
        "with the contract that this provider was built from, and writes a report without names, addresses and "
        "secrets, which you can attach to a bug report. It changes nothing without --allow-write. The exit code is 1 "
        "if an operation disagreed.",
        (
            _CONN_ID,
            _argument("--output", metavar="FILE", help="file for the report; by default standard output"),
            _argument("--json", action="store_true", help="write JSON, for programs"),
            _argument("--sql", metavar="SOURCE", help="also query the MCP server, about this subject area or dataset"),
            _argument("--allow-write", action="store_true", help="also take a snapshot and remove it with its file"),
            _argument("--bucket", metavar="NAME", help="bucket for that snapshot"),
            _argument("--seal-conn-id", metavar="ID", help="the Airflow Connection whose password seals that snapshot"),
        ),
    ),
    Command(
        "sign_in.logout",
        "Revoke the refresh token and delete it. The command revokes the refresh token at the identity domain and "
        "deletes all of the Connection's tokens from the store.",
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
    return [GroupCommand(name="oac", help=_SUMMARY, subcommands=commands)]


def parser() -> argparse.ArgumentParser:
    """Return the parser for ``python -m airflow_provider_oac …``."""
    top = argparse.ArgumentParser(prog="python -m airflow_provider_oac", description=f"{_SUMMARY}.")
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
