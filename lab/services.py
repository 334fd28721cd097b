"""The two servers that all labs share, both on the bridge's address: apt proxy and mirror."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from lab import processes
from lab.addresses import GATEWAY
from lab.common import LabError, Paths, repository
from lab.state import Process, State

PROXY_PORT = 3142
MIRROR_PORT = 8480
MIRROR_URL = f"http://{GATEWAY}:{MIRROR_PORT}"

PROXY_CONFIGURATION = """\
ForeGround: 1
BindAddress: {address}
Port: {port}
CacheDir: {cache}
LogDir: {logs}
PidFile: {logs}/pid
SocketPath: {logs}/socket
ReportPage:
ExThreshold: 30
# `lab traffic` reads the size and the client of each answer, and at once
VerboseLog: 1
UnbufferLogs: 1
{tunnel}"""


@dataclass(frozen=True)
class Service:
    """A server, the port that shows that it is up, and its start."""

    name: str
    port: int
    argv: Sequence[str]


def proxy_log(paths: Paths) -> Path:
    return paths.services / "proxy" / "apt-cacher.log"


def mirror_log(paths: Paths) -> Path:
    return paths.services / "mirror" / "access.log"


def ensure(state: State, paths: Paths, debian_mirror: str) -> None:
    """Starts what does not run, records it in `state`, and waits until it listens.

    Logs begin anew when no lab is up: nothing counts them any more.
    """
    if not state.labs and not any(map(processes.is_alive, state.services.values())):
        shutil.rmtree(paths.services, ignore_errors=True)
    for service in (_proxy(paths, debian_mirror), _mirror(paths)):
        if not processes.is_alive(state.services.get(service.name)):
            state.services[service.name] = _start(service, paths)


def end(state: State) -> None:
    """Ends all that run and strikes them from the record."""
    for name in list(state.services):
        processes.end(state.services[name])
        del state.services[name]


def _start(service: Service, paths: Paths) -> Process:
    log = paths.services / service.name / "output.log"
    group = processes.cgroup(service.name)
    process = processes.spawn(service.argv, group, log, {"PYTHONPATH": str(repository())})
    processes.wait_until(lambda: _listens(service.port) or not processes.is_alive(process), 15)
    if not _listens(service.port) or not processes.is_alive(process):
        processes.end(process)
        words = log.read_text(encoding="utf-8", errors="replace")[-1000:]
        raise LabError(f"the lab's {service.name} does not listen on {GATEWAY}:{service.port}; {log} says: {words}")
    return process


def _listens(port: int) -> bool:
    try:
        socket.create_connection((GATEWAY, port), 1).close()
    except OSError:
        return False
    return True


def _proxy(paths: Paths, debian_mirror: str) -> Service:
    directory = paths.services / "proxy"
    configuration = directory / "conf"
    configuration.mkdir(parents=True, exist_ok=True)
    paths.packages.mkdir(parents=True, exist_ok=True)
    text = proxy_configuration(directory, paths.packages, debian_mirror)
    (configuration / "acng.conf").write_text(text, encoding="utf-8")
    program = shutil.which("apt-cacher-ng") or "/usr/sbin/apt-cacher-ng"
    return Service("proxy", PROXY_PORT, [program, "-c", str(configuration)])


def proxy_configuration(logs: Path, cache: Path, debian_mirror: str) -> str:
    """The text of acng.conf.

    An https mirror is reached through a tunnel, which is opened for that mirror alone: the hosts
    of a lab must not get out by the proxy.
    """
    parts = urlsplit(debian_mirror)
    host = (parts.hostname or "").replace(".", r"\.")
    tunnel = f"PassThroughPattern: ^{host}:443$\n" if parts.scheme == "https" else ""
    return PROXY_CONFIGURATION.format(address=GATEWAY, port=PROXY_PORT, cache=cache, logs=logs, tunnel=tunnel)


def _mirror(paths: Paths) -> Service:
    paths.artifacts.mkdir(parents=True, exist_ok=True)
    log = mirror_log(paths)
    log.parent.mkdir(parents=True, exist_ok=True)
    where = ["--address", GATEWAY, "--port", str(MIRROR_PORT)]
    what = ["--directory", str(paths.artifacts), "--log", str(log)]
    return Service("mirror", MIRROR_PORT, [sys.executable, "-m", "lab.mirror", *where, *what])
