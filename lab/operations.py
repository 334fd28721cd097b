"""What the verbs do: state in, hosts made, started, cut and removed, state out."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lab import addresses, artifacts, checks, debian, images, network, processes, services, ssh
from lab.common import LabError, Paths, Progress, repository
from lab.hosts import Guest, HostKind
from lab.nspawn import Nspawn
from lab.qemu import Qemu
from lab.state import Host, Lab, change, find, find_host, load, lock

T = TypeVar("T")

KINDS: dict[str, HostKind] = {"container": Nspawn(), "vm": Qemu()}

# When the connection that says it has ended (the host's shell puts in whose process that is), or it may end badly.
REBOOT = 'systemd-run --quiet sh -c "tail --pid=$PPID --sleep-interval=0.1 --follow /dev/null; systemctl reboot"'


@dataclass(frozen=True)
class Wanted:
    """What `up` is asked for."""

    kind: str | None
    """Of the lab, as its suite is; None leaves both as they are, and makes the default of a new lab."""
    suite: str | None
    disk: str
    """Size of each new host's extra disk, empty for none."""
    memory: str
    """Size of each new virtual machine's memory, empty for the default."""


def up(name: str, hosts: Sequence[str], wanted: Wanted, paths: Paths, progress: Progress) -> list[list[str]]:
    """Makes and starts what is missing of a lab; rows of host, address and systemd's state."""
    checks.require_everything()
    addresses.check_name("lab", name)
    for host in hosts:
        addresses.check_name("host", host)
    with _lab_lock(name, paths, progress):
        existing = load(paths).labs.get(name)
        lab = existing or Lab(0, wanted.suite or images.SUITES[0], "", time.time(), kind=wanted.kind or "container")
        _check_wanted(name, lab, wanted)
        mirror = debian.mirror_uri()
        if not existing:
            lab.image = str(images.ensure(images.recipe(lab.suite, mirror, lab.kind), paths, progress))
        artifacts.ensure(repository(), paths, progress)
        lab = _register(name, lab, hosts, wanted, mirror, paths)
        try:
            return _start_all(name, lab, hosts, paths, progress)
        except LabError as error:
            raise LabError(f"{error} (`lab down {name}` removes what there is)") from error


def _check_wanted(name: str, lab: Lab, wanted: Wanted) -> None:
    for asked, has in ((wanted.suite, lab.suite), (wanted.kind, lab.kind)):
        if asked not in (None, has):
            raise LabError(f"lab {name} runs {has}: end it before it can run {asked}")
    if wanted.memory and lab.kind != "vm":
        raise LabError(f"--memory {wanted.memory}: containers share this machine's memory; --kind vm has its own")


def _register(name: str, lab: Lab, hosts: Iterable[str], wanted: Wanted, mirror: str, paths: Paths) -> Lab:
    """Puts the lab and its hosts on record, and has the shared services run."""
    with change(paths) as state:
        network.ensure_bridge()
        services.ensure(state, paths, mirror)
        if name not in state.labs:
            lab.number = addresses.lab_number({other.number for other in state.labs.values()})
            state.labs[name] = lab
        lab = state.labs[name]
        indexes = {host: record.index for host, record in lab.hosts.items()}
        for host, index in addresses.host_indexes(indexes, hosts).items():
            lab.hosts.setdefault(host, Host(index, disk=wanted.disk, memory=wanted.memory))
        ssh.make_keys(paths, name, lab.hosts)
        ssh.write_known_hosts(paths, name, lab.addresses())
        return lab


def _start_all(name: str, lab: Lab, hosts: Sequence[str], paths: Paths, progress: Progress) -> list[list[str]]:
    """Starts the asked-for hosts; the lab's other hosts only get to know the new ones."""

    def start(host: str) -> list[str]:
        guest = _guest(name, lab, host, paths)
        if host not in hosts:
            if processes.is_alive(lab.hosts[host].process):
                KINDS[lab.kind].prepare(guest)
            return []
        return _start(name, lab, guest, paths, progress)

    return [row for row in _each(start, lab.addresses()) if row]


def _start(name: str, lab: Lab, guest: Guest, paths: Paths, progress: Progress) -> list[str]:
    kind, process = KINDS[lab.kind], lab.hosts[guest.name].process
    began = time.monotonic()
    kind.prepare(guest)
    if not processes.is_alive(process):
        process = kind.start(guest)
        with change(paths) as state:
            record = state.labs[name].hosts[guest.name]
            record.process, record.device = process, kind.disk_device(guest)
    said = _settled(name, kind, guest, lambda: processes.is_alive(process), paths)
    progress(f"{guest.name}: {said} after {time.monotonic() - began:.1f} s")
    return [guest.name, guest.address, said]


def _settled(name: str, kind: HostKind, guest: Guest, alive: Callable[[], bool], paths: Paths) -> str:
    """systemd's word once the boot has ended, with the failed units when there are some."""
    try:
        said = ssh.wait_settled(paths, name, guest.address, alive, kind.boot_timeout_s)
    except LabError as error:
        console = kind.journal(guest)[-1500:]
        raise LabError(f"{guest.name}: {error}. The end of its log:\n{console}") from error
    if said == "running":
        return said
    argv = ["systemctl", "list-units", "--failed", "--plain", "--no-legend"]
    units = ssh.remote(paths, name, guest.address, argv).splitlines()
    failed = ", ".join(line.split()[0] for line in units if line.strip())
    return f"{said}: {failed}"


def down(name: str, paths: Paths, progress: Progress) -> str:
    """Ends a lab and, with the last one, what the labs share; a sentence that says so."""
    checks.require_root()
    with _lab_lock(name, paths, progress):
        lab = load(paths).labs.get(name)
        if lab is None:
            # Also what an interrupted `up` may have started without a lab on record.
            _end_shared(paths)
            return f"lab {name} does not exist: nothing to do"
        _each(lambda host: _remove(KINDS[lab.kind], _guest(name, lab, host, paths), lab.hosts[host]), lab.hosts)
        shutil.rmtree(paths.lab(name), ignore_errors=True)
        with change(paths) as state:
            del state.labs[name]
            images.prune(state, paths)
        _end_shared(paths)
    return f"lab {name} is down"


def _remove(kind: HostKind, guest: Guest, record: Host) -> None:
    kind.cut(guest, record.process)
    kind.remove(guest)


def _end_shared(paths: Paths) -> None:
    if not paths.state.exists():
        return
    with change(paths) as state:
        if not state.labs:
            services.end(state)
            network.remove_bridge()


def cut(name: str, host: str, paths: Paths, progress: Progress) -> None:
    """Takes a host's power away; it stays down until `reboot` or `up`."""
    checks.require_root()
    with _lab_lock(name, paths, progress):
        lab = find(load(paths), name)
        record = find_host(lab, host)
        KINDS[lab.kind].cut(_guest(name, lab, host, paths), record.process)
        with change(paths) as state:
            state.labs[name].hosts[host].process = None


def reboot(name: str, host: str, paths: Paths, progress: Progress) -> list[list[str]]:
    """A clean reboot of a host that runs; one that does not run is started. Rows as of `up`."""
    checks.require_everything()
    with _lab_lock(name, paths, progress):
        lab = find(load(paths), name)
        kind, process = KINDS[lab.kind], find_host(lab, host).process
        guest = _guest(name, lab, host, paths)
        if not processes.is_alive(process):
            return [_start(name, lab, guest, paths, progress)]
        boots = kind.boots(guest)
        ssh.remote(paths, name, guest.address, [REBOOT])
        if not processes.wait_until(lambda: kind.boots(guest) > boots, kind.boot_timeout_s):
            raise LabError(f"{host} did not go down in {kind.boot_timeout_s:.0f} s; `lab cut` takes its power away")
        said = _settled(name, kind, guest, lambda: processes.is_alive(process), paths)
        return [[host, guest.address, said]]


def status(name: str | None, paths: Paths) -> list[list[str]]:
    """Rows of lab, kind, suite, host, address and up or down."""
    state = load(paths)
    labs = {name: find(state, name)} if name else state.labs
    return [
        [label, lab.kind, lab.suite, host, address, _word(lab.hosts[host])]
        for label, lab in sorted(labs.items())
        for host, address in lab.addresses().items()
    ]


def _word(host: Host) -> str:
    return "up" if processes.is_alive(host.process) else "down"


def logs(name: str, host: str, paths: Paths) -> str:
    """The journal of a host, asked for over SSH or, when that fails, read from its files."""
    lab = find(load(paths), name)
    record = find_host(lab, host)
    if processes.is_alive(record.process):
        try:
            return ssh.remote(paths, name, lab.address(host), ["journalctl", "--no-pager"])
        except LabError:
            pass
    return KINDS[lab.kind].journal(_guest(name, lab, host, paths))


def _guest(name: str, lab: Lab, host: str, paths: Paths) -> Guest:
    return Guest(
        name=host,
        machine=lab.machine(host),
        address=lab.address(host),
        directory=paths.host(name, host),
        image=Path(lab.image),
        public_key=_text(paths.private_key(name).with_suffix(".pub")),
        host_key=ssh.host_key(paths, name, host),
        neighbours=lab.addresses(),
        extra_files=paths.guest_files,
        disk=lab.hosts[host].disk,
        memory=lab.hosts[host].memory,
    )


def _text(path: Path) -> str:
    """Empty when the file has gone: a lab whose keys are lost can still be ended."""
    return path.read_text(encoding="ascii") if path.exists() else ""


def _lab_lock(name: str, paths: Paths, progress: Progress) -> contextlib.AbstractContextManager[None]:
    return lock(paths, f"lab-{name}", lambda: progress(f"another command works on lab {name}"))


def _each(work: Callable[[str], T], names: Iterable[str]) -> list[T]:
    """Does the work for all names at once; the first error, after all have ended."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        futures = [pool.submit(work, name) for name in names]
    return [future.result() for future in futures]
