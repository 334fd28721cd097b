"""SSH into the hosts: with the lab's own key, and with host keys that are really checked."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from lab.common import LabError, Paths, run
from lab.state import write_atomically

SETTLED = ("running", "degraded", "maintenance")


def common_options(paths: Paths, lab: str) -> list[str]:
    """What makes a connection safe and quick to fail, without the key itself.

    A host whose power was cut leaves its connections hanging: the server-alive messages end them.
    """
    options = {
        "UserKnownHostsFile": str(paths.known_hosts(lab)),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
        "ConnectTimeout": "5",
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "3",
    }
    return [part for name, value in options.items() for part in ("-o", f"{name}={value}")]


def command(paths: Paths, lab: str, address: str) -> list[str]:
    """The whole argv up to the remote command; the user's own configuration stays out of it."""
    key = ["-F", "/dev/null", "-i", str(paths.private_key(lab)), "-l", "root"]
    return ["ssh", *key, *common_options(paths, lab), address]


def make_keys(paths: Paths, lab: str, hosts: Iterable[str]) -> None:
    """The lab's key and one host key each; those that are there stay."""
    paths.keys(lab).mkdir(parents=True, exist_ok=True, mode=0o700)
    make_key(paths.private_key(lab), f"lab-{lab}")
    for host in hosts:
        make_key(host_key(paths, lab, host), host)


def make_key(path: Path, comment: str) -> None:
    if not path.with_suffix(".pub").exists():
        path.unlink(missing_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])


def host_key(paths: Paths, lab: str, host: str) -> Path:
    return paths.keys(lab) / f"host_{host}"


def write_known_hosts(paths: Paths, lab: str, hosts: dict[str, str]) -> None:
    """`hosts` is {name: address}; the file knows a host by both."""
    lines = []
    for name, address in hosts.items():
        kind, key = host_key(paths, lab, name).with_suffix(".pub").read_text("ascii").split()[:2]
        lines.append(f"{address},{name} {kind} {key}\n")
    write_atomically(paths.known_hosts(lab), "".join(lines))


def remote(paths: Paths, lab: str, address: str, argv: Sequence[str], timeout: float = 30) -> str:
    """Standard output of a command on a host; LabError when it fails or takes `timeout` seconds."""
    return run([*command(paths, lab, address), *argv], timeout=timeout)


def wait_settled(paths: Paths, lab: str, address: str, alive: Callable[[], bool], timeout: float = 90) -> str:
    """Waits until SSH answers and the boot has come to its end; what systemd says of it then.

    `timeout` is in seconds. LabError when it is over, or when the host is no longer `alive`.
    """
    limit = time.monotonic() + timeout
    argv = [*command(paths, lab, address), "systemctl", "is-system-running", "--wait"]
    words = "no answer"
    while time.monotonic() < limit:
        if not alive():
            raise LabError("it ended while it was starting")
        said = _ask(argv, limit - time.monotonic())
        if said in SETTLED:
            return said
        words = said or words
        time.sleep(0.1)
    raise LabError(f"it was not ready after {timeout:.0f} s: {words}")


def _ask(argv: Sequence[str], timeout: float) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=max(timeout, 1), check=False)
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout.strip() or done.stderr.strip()


def interactive(paths: Paths, lab: str, address: str, argv: Sequence[str]) -> None:
    """Becomes ssh; does not return."""
    os.execvp("ssh", [*command(paths, lab, address), *argv])  # noqa: S606  no shell is wanted
