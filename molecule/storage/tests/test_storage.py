"""A disk in every state: formatted once, mounted before Prometheus, grown, and never taken when it holds something."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from tests.hosts import Run, eventually, lab, lab_name, page, run_playbook, series, unit

MIB = 2**20
URL = "http://127.0.0.1:9090"


def disk(host: Host) -> str:
    return str(host.ansible.get_variables()["lab_disk"])


def mount(host: Host) -> dict[str, str]:
    """What is mounted at /prometheus; nothing for no mount."""
    shown = host.run("findmnt --json --mountpoint /prometheus").stdout
    return dict(json.loads(shown)["filesystems"][0]) if shown else {}


def play(host: Host, *options: str, **variables: Any) -> Run:
    """The scenario's playbook on one host."""
    return run_playbook("--limit", host.backend.host, *options, **variables)


def size(host: Host) -> int:
    blocks, block = host.check_output("stat --file-system --format '%b %S' /prometheus").split()
    return int(blocks) * int(block)


def limit(host: Host) -> float:
    """What Prometheus itself says that it keeps."""
    return series(page(host, f"{URL}/metrics"))["prometheus_tsdb_retention_limit_bytes"]


def on_controller(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def image(host: Host) -> str:
    """The file behind the disk."""
    return on_controller("losetup", "--noheadings", "--output=BACK-FILE", disk(host))


# --- mon1: a Prometheus on its disk


def test_the_disk_is_mounted_as_it_was_declared(mon1: Host, mon2: Host) -> None:
    assert mount(mon1)["fstype"] == "xfs"
    assert {"noatime", "nodev", "nosuid", "noexec"} <= set(mount(mon1)["options"].split(","))
    assert mount(mon2)["fstype"] == "ext4"
    assert "noexec" not in mount(mon2)["options"].split(",")
    mon1.check_output("cp /bin/true /prometheus/data/true")
    assert "Permission denied" in mon1.run("/prometheus/data/true").stderr
    mon1.check_output("rm /prometheus/data/true")


def test_prometheus_keeps_what_the_filesystem_has_room_for(mon1: Host) -> None:
    assert limit(mon1) == int(0.85 * size(mon1)) // MIB * MIB


def test_a_reboot_brings_the_mount_and_then_prometheus(mon1: Host) -> None:
    lab("reboot", lab_name(), "mon1")
    assert eventually(lambda: page(mon1, f"{URL}/-/ready"), 20)
    assert mount(mon1)["fstype"] == "xfs"
    began = unit(mon1, "prometheus", "ExecMainStartTimestampMonotonic")["ExecMainStartTimestampMonotonic"]
    there = mon1.check_output("systemctl show prometheus.mount --property=ActiveEnterTimestampMonotonic --value")
    assert 0 < int(there) < int(began)
    assert play(mon1).changed == 0


@pytest.fixture
def without_disk(mon1: Host) -> Iterator[None]:
    """The host has booted and its disk is gone: a loop device without a file; afterwards it is there again."""
    device, file = disk(mon1), image(mon1)
    on_controller("losetup", "--detach", device)  # takes effect when it is unmounted
    lab("reboot", lab_name(), "mon1")
    yield
    on_controller("losetup", device, file)
    mon1.check_output("systemctl reset-failed prometheus.mount")
    mon1.check_output("systemctl start prometheus")
    assert eventually(lambda: page(mon1, f"{URL}/-/ready"), 20)
    assert mount(mon1)["fstype"] == "xfs"


def test_a_host_without_its_disk_boots_and_prometheus_does_not_write_below(mon1: Host, without_disk: None) -> None:  # noqa: ARG001
    assert mount(mon1) == {}
    assert eventually(lambda: "failed" in mon1.run("systemctl is-failed prometheus.mount").stdout, 10)
    assert unit(mon1, "prometheus", "ActiveState", "NRestarts") == {"ActiveState": "inactive", "NRestarts": "0"}
    assert "Dependency failed for prometheus.service" in mon1.check_output("journalctl --boot --quiet")
    assert mon1.check_output("find /prometheus") == "/prometheus"
    run = play(mon1)
    assert run.code != 0
    assert run.changed == 0
    assert mon1.check_output("find /prometheus") == "/prometheus"


def test_a_disk_that_grew_is_used_while_prometheus_runs(mon1: Host) -> None:
    before, process = size(mon1), unit(mon1, "prometheus.mount", "InvocationID")
    file = Path(image(mon1))
    on_controller("truncate", f"--size={file.stat().st_size + 1024 * MIB}", str(file))
    on_controller("losetup", "--set-capacity", disk(mon1))
    said = play(mon1, "--check", "--diff", "--tags", "storage,all")
    assert (said.code, size(mon1)) == (0, before)
    assert "has grown from 3.0 GiB to 4.0 GiB" in said.output
    run = play(mon1)
    assert (run.code, run.changed) == (0, 2), run.output  # the disk, and what Prometheus may keep
    assert size(mon1) - before == 1024 * MIB
    assert limit(mon1) == int(0.85 * size(mon1)) // MIB * MIB
    assert unit(mon1, "prometheus.mount", "InvocationID") == process
    assert play(mon1).changed == 0


def test_options_that_somebody_changed_come_back_without_an_unmount(mon1: Host) -> None:
    mon1.check_output("mount -o remount,exec /prometheus")
    process = unit(mon1, "prometheus", "MainPID")
    said = play(mon1, "--check", "--diff")
    assert "/prometheus is mounted with other options" in said.output
    assert play(mon1).changed == 1
    assert "noexec" in mount(mon1)["options"].split(",")
    assert unit(mon1, "prometheus", "MainPID") == process


# --- mon2: the disk in every state

PREPARED = """\
systemctl disable --now --quiet prometheus.mount
rm -rf /etc/systemd/system/prometheus.mount /prometheus /opt/tds/storage
systemctl daemon-reload
wipefs --all --quiet {disk}
dd if=/dev/zero of={disk} bs=1M count=8 status=none
"""


@pytest.fixture
def blank(mon2: Host) -> str:
    """Its disk, on which nothing is."""
    for command in PREPARED.format(disk=disk(mon2)).splitlines():
        mon2.run(command)
    return disk(mon2)


def start_of(host: Host) -> str:
    return str(host.check_output(f"head --bytes=8M {disk(host)} | sha256sum"))


FOREIGN = {
    "somebody's ext4": ("mkfs.ext4 -q -L orders {}", "ext4 label orders uuid "),
    "an ext4 without a label": ("mkfs.ext4 -q {}", "ext4 uuid "),
    "a partition table": ("echo type=linux | sfdisk --quiet --no-reread {}", "dos"),
    "a GPT": ("echo label:gpt | sfdisk --quiet --no-reread {}", "gpt"),
    "swap": ("mkswap --quiet {}", "swap uuid "),
    "a member of an array": (
        r"printf '\xfc\x4e\x2b\xa9\x01\x00\x00\x00' | dd of={} bs=4096 seek=1 status=none",
        "data of no known kind",
    ),
    "no known kind of data": ("head --bytes=4K /dev/urandom | dd of={} status=none", "data of no known kind"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_what_is_not_ours_is_refused_by_name_and_stays_as_it_is(mon2: Host, blank: str, what: str) -> None:
    made, told = FOREIGN[what]
    mon2.check_output("command -v sfdisk || (apt-get --quiet update && apt-get --quiet --yes install fdisk)")
    mon2.check_output(made.format(blank))
    before = start_of(mon2)
    run = play(mon2, storage_wipe="0f1e2d3c-0000-4000-8000-000000000001")
    text = re.sub(r"\s+", " ", run.output)
    assert (run.code != 0, run.changed) == (True, 0)
    assert f"storage_device is {blank}: it holds {told}" in text
    assert "(storage_wipe is 0f1e2d3c-0000-4000-8000-000000000001, which it is not)" in text
    assert (start_of(mon2), mount(mon2)) == (before, {})
    name = re.search(r"storage_wipe: (\S+) has it formatted", text)[1]  # type: ignore[index]
    run = play(mon2, storage_wipe=name)
    assert (run.code, run.changed) == (0, 1), run.output
    assert mount(mon2)["fstype"] == "ext4"
    assert play(mon2, storage_wipe=name).changed == 0


def test_a_disk_in_use_is_refused(mon2: Host, blank: str) -> None:
    mon2.check_output(f"mkfs.ext4 -q {blank} && mount {blank} /mnt")
    try:
        run = play(mon2)
    finally:
        mon2.check_output("umount /mnt")
    text = re.sub(r"\s+", " ", run.output)
    assert run.code != 0
    assert "it is in use (mounted at /mnt)" in text


def test_data_that_a_mount_would_hide_is_refused_and_links_are_not(mon2: Host, blank: str) -> None:  # noqa: ARG001
    mon2.check_output("mkdir --parents /prometheus/data/wal && ln -s /etc/prometheus/rules.yml /prometheus/rules.yml")
    mon2.check_output("touch /prometheus/data/wal/00000000")
    run = play(mon2)
    assert run.code != 0
    assert "/prometheus holds /prometheus/data, which a mount would hide" in re.sub(r"\s+", " ", run.output)
    # As docs/operations.md says it.
    mon2.check_output("mv /prometheus /prometheus.before")
    mon2.check_output("mkdir --parents /prometheus/data && ln -s /etc/prometheus/rules.yml /prometheus/rules.yml")
    assert play(mon2).code == 0
    assert mount(mon2)["fstype"] == "ext4"
    mon2.check_output("cp -a /prometheus.before/data /prometheus/ && rm -r /prometheus.before")
    assert mon2.file("/prometheus/data/wal/00000000").exists
    assert play(mon2).changed == 0


def test_without_a_disk_a_directory_stays_as_it_is(mon2: Host, blank: str) -> None:  # noqa: ARG001
    mon2.check_output("mkdir /prometheus && touch /prometheus/own")
    run = play(mon2, storage_device="")
    assert (run.code, run.changed, mount(mon2)) == (0, 0, {})
    assert mon2.check_output("ls /prometheus") == "own"


def test_check_mode_says_it_and_leaves_a_blank_disk_blank(mon2: Host, blank: str) -> None:
    before = start_of(mon2)
    run = play(mon2, "--check", "--diff")
    assert (run.code, run.changed) == (0, 1)
    assert f"{blank} (3.0 GiB) is formatted with ext4" in run.output
    assert "+Options=noatime,nodev,nosuid,nofail" in run.output
    assert (start_of(mon2), mount(mon2)) == (before, {})
    assert not mon2.file("/etc/systemd/system/prometheus.mount").exists


# mkfs and the run that started it are killed: at a write of mkfs, or when it has ended and nobody wrote that down.
CUT = """\
#!/bin/sh
{command}
kill -KILL $PPID
"""
CUTS = [
    ("ext4", "strace -f -o /dev/null -e inject=pwrite64:signal=KILL:when={when} /usr/sbin/mkfs.ext4", when)
    for when in (1, 4, 40)
] + [
    ("xfs", "strace -f -o /dev/null -e inject=pwrite64:signal=KILL:when={when} /usr/sbin/mkfs.xfs", when)
    for when in (1, 4, 12)
]


@pytest.fixture
def cut_short(mon2: Host) -> Iterator[Any]:
    """Puts a formatting tool in front of the real one that dies, and takes it away again."""
    mon2.check_output("command -v strace || (apt-get --quiet update && apt-get --quiet --yes install strace)")
    mon2.check_output("command -v mkfs.xfs || (apt-get --quiet update && apt-get --quiet --yes install xfsprogs)")

    def put(filesystem: str, command: str) -> Run:
        tool = f"/usr/local/sbin/mkfs.{filesystem}"
        text = CUT.format(command=f'{command} "$@"')
        mon2.check_output("printf %%s %s >%s && chmod 755 %s", text, tool, tool)
        run = play(mon2, storage_filesystem=filesystem)
        mon2.check_output("rm %s", tool)
        return run

    yield put
    mon2.run("rm -f /usr/local/sbin/mkfs.*")


@pytest.mark.parametrize(("filesystem", "command", "when"), CUTS)
def test_a_formatting_that_was_cut_short_is_finished_by_the_next_run(
    mon2: Host,
    blank: str,  # noqa: ARG001
    cut_short: Any,
    filesystem: str,
    command: str,
    when: int,
) -> None:
    assert cut_short(filesystem, command.format(when=when)).code != 0
    assert mon2.check_output("ls /opt/tds/storage/making | wc --lines") == "1"
    assert mount(mon2) == {}
    run = play(mon2, "--diff", storage_filesystem=filesystem)
    assert (run.code, run.changed) == (0, 1), run.output
    assert "which an earlier run began" in run.output
    assert mount(mon2)["fstype"] == filesystem
    assert mon2.check_output("ls /opt/tds/storage/making") == ""
    assert play(mon2, storage_filesystem=filesystem).changed == 0


@pytest.mark.parametrize("filesystem", ["ext4", "xfs"])
def test_one_that_was_whole_is_not_made_anew(mon2: Host, blank: str, cut_short: Any, filesystem: str) -> None:
    assert cut_short(filesystem, f"/usr/sbin/mkfs.{filesystem}").code != 0
    made = mon2.check_output(f"blkid -p -s UUID -o value {blank}")
    run = play(mon2, "--diff", storage_filesystem=filesystem)
    assert (run.code, run.changed) == (0, 1), run.output
    assert "is formatted" not in run.output
    assert mon2.check_output(f"blkid -p -s UUID -o value {blank}") == made
    assert mount(mon2)["fstype"] == filesystem


def test_what_came_onto_the_disk_after_the_cut_is_not_ours(mon2: Host, blank: str, cut_short: Any) -> None:
    cut_short("ext4", "true")
    mon2.check_output(f"mkfs.ext4 -q -L orders {blank}")
    run = play(mon2)
    assert run.code != 0
    assert "it holds ext4 label orders" in re.sub(r"\s+", " ", run.output)


# --- The preflight says it before anything changes


def test_the_preflight_s_table_has_it(mon1: Host) -> None:
    nowhere = "/dev/disk/by-id/nowhere"
    run = run_playbook("--limit", "mon1", playbook="playbooks/preflight.yml", storage_device=nowhere)
    assert (run.code, run.changed) == (2, 0)
    assert f"storage_device is {nowhere}: no such device is on this host" in run.output
    run = run_playbook("--limit", "mon1", playbook="playbooks/preflight.yml", prometheus_retention_size="50GB")
    kept = int(0.85 * size(mon1)) // MIB
    assert f"Prometheus is told {kept}MB: the rest is for compaction" in run.output
