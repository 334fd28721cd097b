"""What a daemon's sandbox forbids, tried from inside it.

The probe is run by a copy of the daemon's unit, in which a drop-in replaces the command: systemd itself builds the
sandbox, as it does for the daemon. Entering the daemon's namespaces with nsenter would leave out all that is not a
namespace: the system call filter, no_new_privs, the capability bounding set, the umask.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from testinfra.host import Host

from tests import sandbox_probe
from tests.hosts import unit

UNITS = "/run/systemd/system"
PROBE = sandbox_probe.PLANTED / "probe.py"
TEMPORARY = {"/tmp", "/var/tmp"}  # noqa: S108  of a lab host
OPEN_FILES = ("/home/sandbox_probe", "/tmp/sandbox_probe")  # noqa: S108
"""Files that everybody may read, where no daemon should look."""


def program_for_i386() -> bytes:
    """An ELF file of one segment at 0x8048000 whose code is exit(0)."""
    code, headers, base = bytes.fromhex("31db31c040cd80"), 52 + 32, 0x8048000
    size = headers + len(code)
    elf = struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, base + headers, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    segment = struct.pack("<IIIIIIII", 1, 0, base, base, size, size, 5, 0x1000)
    return b"\x7fELF\x01\x01\x01" + bytes(9) + elf + segment + code


PLANT = f"""
mkdir -p /usr/lib/modules/sandbox_probe {sandbox_probe.PLANTED} && cd {sandbox_probe.PLANTED}
cp /usr/bin/id id && chmod 4755 id
echo {program_for_i386().hex()} | python3 -c 'import sys; open("i386", "wb").write(bytes.fromhex(sys.stdin.read()))'
chmod 0755 i386
mknod -m 0666 /dev/sandbox_probe c 1 7
for file in {" ".join(OPEN_FILES)}; do echo readable >$file; done
cat >{PROBE} <<'END'
{Path(sandbox_probe.__file__).read_text(encoding="utf-8")}
END
"""
CLEAR = f"""
rm -rf {sandbox_probe.PLANTED} /usr/lib/modules/sandbox_probe /dev/sandbox_probe {" ".join(OPEN_FILES)}
rm -rf {UNITS}/*-sandbox_probe.service* /run/sandbox_probe.json && systemctl daemon-reload
"""


@dataclass(frozen=True)
class Report:
    """What the probe found; see `sandbox_probe`."""

    done: list[str]
    refused: dict[str, str]
    writable: list[str]
    umask: str
    namespaces: dict[str, str]
    rights: dict[str, str]
    mounts: str


@contextmanager
def planted(host: Host) -> Iterator[None]:
    """A host with all that the probe tries."""
    host.check_output(PLANT)
    try:
        yield
    finally:
        host.check_output(CLEAR)


def start_copy(host: Host, daemon: str, command: str, *directives: str) -> str:
    """Starts a copy of a daemon's unit with another command, and with further directives; the answer is its name.

    Its end leaves the daemon's own directory in /run alone, which both have.
    """
    name, lines = f"{daemon}-sandbox_probe", "\n".join(directives)
    host.check_output(f"""
mkdir -p {UNITS}/{name}.service.d && cp /etc/systemd/system/{daemon}.service {UNITS}/{name}.service
cat >{UNITS}/{name}.service.d/copy.conf <<'END'
[Service]
Restart=no
RuntimeDirectoryPreserve=yes
ExecStart=
ExecStart={command}
{lines}
END
systemctl daemon-reload && systemctl start {name}""")
    return name


def inside(host: Host, daemon: str, to_read: list[str], *, user: str = "") -> Report:
    """What the probe can do in the sandbox of a daemon, as its account or as another."""
    command = " ".join(["/usr/bin/python3", "-I", str(PROBE), *to_read])
    # The directory in /run would be the other's, sockets and all, and the daemon stands before a closed door.
    another = (f"User={user}", f"Group={user}", "RuntimeDirectory=") if user else ()
    start_copy(host, daemon, command, "Type=oneshot", "StandardOutput=truncate:/run/sandbox_probe.json", *another)
    return Report(**json.loads(host.check_output("cat /run/sandbox_probe.json")))


def outside(host: Host, to_read: list[str]) -> Report:
    """What it can do as a service without any sandbox, as root."""
    command = " ".join(["python3", "-I", str(PROBE), *to_read])
    return Report(**json.loads(host.check_output(f"systemd-run --quiet --pipe --wait {command}")))


def of_the_daemon(host: Host, daemon: str) -> tuple[dict[str, str], set[tuple[str, str]]]:
    """What the kernel says of the daemon's own process: its rights and its mounts."""
    process = unit(host, daemon, "MainPID")["MainPID"]
    status = host.file(f"/proc/{process}/status").content_string
    return rights(dict(sandbox_probe.RIGHTS.findall(status))), mounts(
        host.file(f"/proc/{process}/mountinfo").content_string
    )


def rights(shown: dict[str, str]) -> dict[str, str]:
    """Rights as they look the same from inside, where a process knows no group by its number but its own."""
    return shown | {"Groups": f"{len(shown['Groups'].split())} of them"}


def mounts(mountinfo: str) -> set[tuple[str, str]]:
    """Place and options of each mount, but for those that come and go with users, units, and what was planted."""
    found = {(line.split()[4], line.split()[5]) for line in mountinfo.splitlines()}
    passing = re.compile(r"^/run/user/|^/usr/lib/modules$|\.service/")
    return {(place, options) for place, options in found if not passing.search(place)}
