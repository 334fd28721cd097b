"""What each verb prints; `cli.py` says which arguments it has."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from lab import artifacts as cache
from lab import operations
from lab.common import Paths, Progress, repository, table
from lab.ssh import interactive
from lab.state import find, find_host, load
from lab.traffic import traffic as traffic_of


def up(arguments: argparse.Namespace, paths: Paths) -> None:
    wanted = operations.Wanted(arguments.kind, arguments.suite, arguments.disk, arguments.memory)
    rows = operations.up(arguments.lab, arguments.hosts, wanted, paths, Progress())
    print(table([["HOST", "ADDRESS", "STATE"], *rows]))


def down(arguments: argparse.Namespace, paths: Paths) -> None:
    names = sorted(load(paths).labs) if arguments.all else [arguments.lab]
    for name in names:
        print(operations.down(name, paths, Progress()))
    if not names:
        print("no lab is up")


def status(arguments: argparse.Namespace, paths: Paths) -> None:
    rows = operations.status(arguments.lab, paths)
    print(table([["LAB", "KIND", "SUITE", "HOST", "ADDRESS", "STATE"], *rows]) if rows else "no lab is up")


def ssh(arguments: argparse.Namespace, paths: Paths) -> None:
    lab = find(load(paths), arguments.lab)
    find_host(lab, arguments.host)
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    interactive(paths, arguments.lab, lab.address(arguments.host), command)


def cut(arguments: argparse.Namespace, paths: Paths) -> None:
    operations.cut(arguments.lab, arguments.host, paths, Progress())
    print(f"{arguments.host} has no power")


def reboot(arguments: argparse.Namespace, paths: Paths) -> None:
    rows = operations.reboot(arguments.lab, arguments.host, paths, Progress())
    print(table([["HOST", "ADDRESS", "STATE"], *rows]))


def logs(arguments: argparse.Namespace, paths: Paths) -> None:
    print(operations.logs(arguments.lab, arguments.host, paths), end="")


def artifacts(arguments: argparse.Namespace, paths: Paths) -> None:
    source = Path(arguments.source) if arguments.source else None
    rows = cache.fill(repository(), paths, Progress(), source, refresh=arguments.refresh)
    print(table([["COMPONENT", "VERSION", "ARCHIVE", "ORIGIN"], *rows]))


def traffic(arguments: argparse.Namespace, paths: Paths) -> None:
    lab = find(load(paths), arguments.lab)
    print(json.dumps(traffic_of(lab, paths)))
