"""The command line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oac_simulator.settings import CHOICES


@dataclass(frozen=True)
class ServeOptions:
    """The options of `serve`.

    :param host: address on which the identity domain and the instances listen.
    :param advertise: host name in the URLs of the ready file; None for `host`.
    :param control_host: address on which the control API listens.
    :param state: state directory; None for a temporary one that is removed on exit.
    :param ready_file: path of the ready file; None for `ready.json` in the state directory.
    :param instances: names of the OAC instances.
    :param port_base: first port; None for free ports, which a state directory remembers.
    :param tls: serve HTTPS with a certificate from the simulator's own CA.
    :param until_stdin_closes: stop when standard input ends, so the simulator does not outlive its parent process.
    :param discard_when_orphaned: then also remove the state directory, because the parent process no longer can.
    :param settings: settings from the command line; they override the state directory.
    """

    host: str = "127.0.0.1"
    advertise: str | None = None
    control_host: str = "127.0.0.1"
    state: Path | None = None
    ready_file: Path | None = None
    instances: tuple[str, ...] = ("dev", "prod")
    port_base: int | None = None
    tls: bool = False
    until_stdin_closes: bool = False
    discard_when_orphaned: bool = False
    settings: dict[str, Any] = field(default_factory=dict)


def _instances(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,40}", name) or name in ("identity", "control"):
            raise argparse.ArgumentTypeError(
                f"{name!r} is no instance name: letters, digits, - and _, beginning with a letter, "
                "and neither `identity` nor `control`"
            )
    if len(set(names)) != len(names):
        raise argparse.ArgumentTypeError("an instance is named twice")
    return names


def parser() -> argparse.ArgumentParser:
    """Build the command-line parser."""
    top = argparse.ArgumentParser(
        prog="oac-simulator",
        description="A simulated Oracle Analytics Cloud to develop and test against.",
    )
    commands = top.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve an identity domain and OAC instances until stopped")
    add = serve.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--advertise", metavar="NAME", help="host name for the URLs in the ready file (default: the host)")
    add("--control-host", default="127.0.0.1", metavar="HOST", help="address of the control API")
    add("--state", type=Path, metavar="DIR", help="keep everything here across restarts")
    add("--ready-file", type=Path, metavar="PATH", help="write what clients need here once all is listening")
    add("--instances", type=_instances, default=("dev", "prod"), metavar="A,B", help="OAC instances")
    add("--port-base", type=int, metavar="PORT", help="first port: identity, then instances, then control")
    add("--access-token-ttl", type=int, metavar="SECONDS", help="life of an access token (default: 100)")
    add("--work-seconds", type=float, metavar="SECONDS", help="how long work takes (default: 2)")
    add("--listing", choices=CHOICES["listing"], help="when a started snapshot is listed (default: early)")
    add(
        "--basic-encoding",
        choices=CHOICES["basic_encoding"],
        help="`form` refuses Basic without form encoding",
    )
    add("--tls", action="store_true", help="serve https; the ready file names the CA")
    add("--until-stdin-closes", action="store_true", help=argparse.SUPPRESS)
    add("--discard-when-orphaned", action="store_true", help=argparse.SUPPRESS)
    return top


def parse(arguments: Sequence[str] | None = None) -> ServeOptions:
    """Parse a command line; exit with a message if it is invalid."""
    top = parser()
    given = top.parse_args(arguments)
    names = ("access_token_ttl", "work_seconds", "listing", "basic_encoding")
    settings = {name: getattr(given, name) for name in names if getattr(given, name) is not None}
    if any(settings.get(name, 1) < minimum for name, minimum in (("access_token_ttl", 1), ("work_seconds", 0))):
        top.error("times are not negative, and a token lives for a second at least")
    return ServeOptions(
        host=given.host,
        advertise=given.advertise,
        control_host=given.control_host,
        state=given.state,
        ready_file=given.ready_file,
        instances=given.instances,
        port_base=given.port_base,
        tls=given.tls,
        until_stdin_closes=given.until_stdin_closes,
        discard_when_orphaned=given.discard_when_orphaned,
        settings=settings,
    )
