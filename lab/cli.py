"""The command line: `python3 -m lab VERB ...`."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from lab.common import LabError, Paths


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 0, 1 for a LabError, 2 for a wrong command line."""
    arguments = parser().parse_args(argv)
    # Only the verb's own module is imported: Ansible asks for the inventory often.
    module, function = arguments.run
    try:
        getattr(importlib.import_module(module), function)(arguments, Paths.from_environment())
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="lab", description="Throw-away Debian hosts for a demo and for tests.")
    verbs = top.add_subparsers(required=True, metavar="VERB")

    up = verbs.add_parser("up", help="make and start hosts; what is there already stays")
    up.add_argument("lab")
    up.add_argument("hosts", nargs="+", metavar="host")
    up.add_argument("--suite", choices=("trixie", "bookworm", "forky"), help="default: trixie")
    up.add_argument("--kind", choices=("container", "vm"), help="default: container")
    up.add_argument("--disk", default="", metavar="SIZE", help="an extra disk for each new host, e.g. 50G")
    up.add_argument("--memory", default="", metavar="SIZE", help="of each new virtual machine; default: 2G")
    up.set_defaults(run=("lab.verbs", "up"))

    down = verbs.add_parser("down", help="end a lab and remove its hosts")
    which = down.add_mutually_exclusive_group(required=True)
    which.add_argument("lab", nargs="?")
    which.add_argument("--all", action="store_true")
    down.set_defaults(run=("lab.verbs", "down"))

    status = verbs.add_parser("status", help="which hosts there are")
    status.add_argument("lab", nargs="?")
    status.set_defaults(run=("lab.verbs", "status"))

    ssh = _with_host(verbs, "ssh", "a shell on a host, or one command")
    ssh.add_argument("command", nargs=argparse.REMAINDER)
    ssh.set_defaults(run=("lab.verbs", "ssh"))
    _with_host(verbs, "cut", "take a host's power away; it stays down").set_defaults(run=("lab.verbs", "cut"))
    _with_host(verbs, "reboot", "reboot a host, or start it again").set_defaults(run=("lab.verbs", "reboot"))
    _with_host(verbs, "logs", "a host's journal").set_defaults(run=("lab.verbs", "logs"))

    inventory = verbs.add_parser("inventory", help="Ansible inventory of the lab $LAB_NAME")
    inventory.add_argument("--list", action="store_true", help="the whole (the default)")
    inventory.add_argument("--host", help="the variables of one host")
    inventory.set_defaults(run=("lab.inventory", "show"))

    artifacts = verbs.add_parser("artifacts", help="fill the mirror with the pinned releases")
    artifacts.add_argument("--from", dest="source", metavar="DIR|FILE", help="take archives, or one, from here")
    artifacts.add_argument("--refresh", action="store_true", help="ask again for what is not from upstream")
    artifacts.set_defaults(run=("lab.verbs", "artifacts"))

    programs = verbs.add_parser("programs", help="the lab's trading system as an archive")
    programs.add_argument("python", metavar="VERSION", help="of the host's Python, such as 3.13")
    programs.set_defaults(run=("lab.programs", "show"))

    traffic = verbs.add_parser("traffic", help="bytes delivered to a lab's hosts, as JSON")
    traffic.add_argument("lab")
    traffic.set_defaults(run=("lab.verbs", "traffic"))
    return top


def _with_host(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=text)
    verb.add_argument("lab")
    verb.add_argument("host")
    return verb
