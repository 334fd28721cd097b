"""What only a machine with a kernel and disks of its own shows: limits in force, a full disk, a boot, a power cut.

An emulated machine is some twenty times slower than this one, so the waits are long. The order matters: what changes
limits of the running system comes last.
"""

from __future__ import annotations

import json
import random
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from testinfra.host import Host

from lab.addresses import GATEWAY
from tests.hosts import Play, begin_playbook, eventually, kill_playbook, lab, lab_name, page, unit
from tests.load import Load, serving
from tests.rules.conftest import promtool  # noqa: F401

DAEMONS = ("node_exporter", "blackbox_exporter", "alertmanager", "prometheus")
TARGETS = {"load", "node", "prometheus", "alertmanager", "blackbox_exporter", "probe", "host"}
MIB = 1 << 20
# A change that takes a restart, which is cut; then the next test fills so much. The preflight finds it too little for
# the declared load.
RETENTION = {"prometheus_retention_size": "20MB", "preflight_accepted": ["clock", "capacity", "disk"]}

Say = Callable[[str], None]


@pytest.fixture(scope="module", autouse=True)
def load() -> Iterator[Load]:
    with serving(GATEWAY, 8490) as running:
        yield running


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Prints a measured figure, past pytest."""

    def print_it(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}")

    return print_it


def ask(host: Host, path: str, **query: str) -> Any:
    """What Prometheus' API answers; None when it does not."""
    answer = page(host, f"http://127.0.0.1:9090/api/v1/{path}?{urlencode(query)}", 20)
    return json.loads(answer)["data"] if answer else None


def value(host: Host, expression: str) -> float | None:
    """Of the one series that there is."""
    found = ask(host, "query", query=expression)
    return float(found["result"][0]["value"][1]) if found and found["result"] else None


def kept(host: Host, seconds: int) -> list[float]:
    """The load's answers that Prometheus has of the last seconds."""
    found = ask(host, "query", query=f"load_answered_seconds[{seconds}s]")
    return [float(one) for _at, one in found["result"][0]["values"]] if found and found["result"] else []


def ingests(host: Host) -> bool:
    return len(kept(host, 20)) >= 5


def all_up(host: Host) -> bool:
    found = ask(host, "targets", state="active")
    shown = {target["labels"]["job"]: target["health"] for target in found["activeTargets"]} if found else {}
    return shown == dict.fromkeys(TARGETS, "up")


def power_returns(host: Host) -> None:
    """Boots, and waits until Prometheus stores again."""
    lab("reboot", lab_name(), "mon1")
    assert eventually(lambda: ingests(host), 120)


def processes(host: Host, *units: str) -> dict[str, str]:
    return {name: unit(host, name, "MainPID")["MainPID"] for name in units}


def test_the_data_has_the_blank_disk_to_itself(mon1: Host) -> None:
    assert mon1.check_output("findmnt --noheadings --output=SOURCE,FSTYPE /prometheus").split() == ["/dev/vdb", "xfs"]


def test_every_target_is_up(mon1: Host) -> None:
    assert eventually(lambda: all_up(mon1), 60), ask(mon1, "targets", state="active")


def test_all_together_are_bounded_by_the_kernel_and_new_limits_are_in_force_at_once(mon1: Host) -> None:
    group = "/sys/fs/cgroup/tds.slice"
    each = [int(unit(mon1, daemon, "MemoryMax")["MemoryMax"]) for daemon in DAEMONS]
    assert int(mon1.check_output(f"cat {group}/memory.max")) == sum(each)
    assert mon1.check_output(f"cat {group}/cpu.max {group}/cpu.weight").split() == ["200000", "100000", "40"]
    scores = {mon1.check_output("cat /proc/%s/oom_score_adj", pid) for pid in processes(mon1, *DAEMONS).values()}
    assert scores == {"500"}
    text = mon1.check_output("cat /etc/systemd/system/tds.slice") + "\n"
    for weight in ("41", "40"):
        wanted = {"name": "tds.slice", "unit": text.replace("CPUWeight=40", f"CPUWeight={weight}")}
        assert mon1.ansible("tds.monitoring.systemd_slice", json.dumps(wanted), check=False)["changed"]
        assert mon1.check_output(f"cat {group}/cpu.weight") == weight
        assert int(mon1.check_output(f"cat {group}/memory.max")) == sum(each)


def test_a_power_cut_loses_the_last_seconds_and_nothing_else(mon1: Host, load: Load, say: Say) -> None:
    assert eventually(lambda: len(kept(mon1, 60)) > 45, 120)
    lab("cut", lab_name(), "mon1")
    before = load.answered.copy()
    power_returns(mon1)
    shown = set(kept(mon1, 900)).intersection(before)
    lost = before[-1] - max(shown)
    missing = [one for one in before if one < max(shown) and one not in shown]
    say(f"power cut: the last {lost:.1f} s are lost, and {len(missing)} of {len(shown)} scrapes before them")
    assert lost < 12  # storage_flush_seconds, of pages and of XFS' log, and what an emulated disk takes
    assert len(missing) <= len(shown) / 10  # an emulated machine may take longer than a scrape may
    assert (
        value(mon1, "sum(prometheus_tsdb_wal_corruptions_total) + sum(prometheus_tsdb_wal_truncations_failed_total)")
        == 0
    )
    assert not mon1.run("journalctl --quiet --boot --dmesg --grep='EXT4-fs (error|warning)'").stdout


def switches(host: Host) -> int:
    return int(host.run("grep -c switch /opt/tds/prometheus/journal").stdout)


def test_a_power_cut_in_the_midst_of_a_change_leaves_the_old_or_the_new(mon1: Host, play: Play, say: Say) -> None:
    before = switches(mon1)
    run = begin_playbook("--tags", "prometheus", **RETENTION)
    mon1.check_output(
        f"timeout 240 sh -c 'until [ $(grep -c switch /opt/tds/prometheus/journal) -gt {before} ]; do sleep 0.1; done'"
    )
    lab("cut", lab_name(), "mon1")
    kill_playbook(run)
    power_returns(mon1)
    size = ask(mon1, "status/flags")["storage.tsdb.retention.size"]
    say(f"cut after the switch: {size} is in force after the boot")
    assert size in ("1GiB", "20MiB")
    assert f"retention.size={size.replace('i', '')}" in mon1.check_output("cat /opt/tds/prometheus/current/env")
    mended = play("--tags", "prometheus", **RETENTION)
    assert mended.code == 0, mended.output
    assert ask(mon1, "status/flags")["storage.tsdb.retention.size"] == "20MiB"
    again = play("--tags", "prometheus", **RETENTION)
    assert (again.code, again.changed) == (0, 0), again.output


HOURS = (12, 10, 8, 6, 4)
SAMPLES = 500_000


def openmetrics() -> Iterator[str]:
    """Two hours' worth of values that do not compress, before each of HOURS."""
    number, steps = random.Random(0), SAMPLES // 500  # noqa: S311
    now = int(time.time())
    for series in range(500):
        for hours in HOURS:
            for step in range(steps):
                at = now - hours * 3600 + step * 3600 / steps
                yield f'old{{n="{series}"}} {number.random()} {at:.0f}\n'
    yield "# EOF\n"


def test_a_full_retention_size_drops_the_oldest_blocks(
    mon1: Host,
    promtool: Path,  # noqa: F811
    tmp_path: Path,
    say: Say,
) -> None:
    (tmp_path / "old").write_text("".join(openmetrics()))
    subprocess.run(
        [promtool, "tsdb", "create-blocks-from", "openmetrics", "old", "blocks", "--quiet"], cwd=tmp_path, check=True
    )
    size = sum(file.stat().st_size for file in (tmp_path / "blocks").rglob("*"))
    subprocess.run(["tar", "--create", "--file=blocks.tar", "--directory=blocks", "."], cwd=tmp_path, check=True)
    process = processes(mon1, "prometheus")
    dropped = value(mon1, "prometheus_tsdb_size_retentions_total")
    mon1.ansible(
        "ansible.builtin.unarchive",
        f"src={tmp_path}/blocks.tar dest=/prometheus/data owner=prometheus group=prometheus",
        check=False,
    )
    assert size > 20 * MIB
    assert eventually(lambda: (value(mon1, "prometheus_tsdb_size_retentions_total") or 0) > (dropped or 0), 180)
    there = {hours: value(mon1, f"count(old offset {hours * 60 - 10}m)") for hours in HOURS}
    say(f"{size / MIB:.0f} MiB of blocks for a retention of 20 MiB: hours back and series that are left: {there}")
    assert there[12] is None
    assert there[4] == 500
    assert processes(mon1, "prometheus") == process


# In ever smaller pieces, because xfs refuses one that is nearly all of its room. No data is written.
FILL = """
mkdir /prometheus/filler && cd /prometheus/filler
for size in 8G 1G 128M 16M 2M 256K 32K 4K; do
    while fallocate --length $size $((n += 1)) 2>/dev/null; do :; done
done
"""


def test_a_full_disk_is_survived_and_told(mon1: Host) -> None:
    assert value(mon1, "sum(prometheus_tsdb_wal_writes_failed_total)") == 0
    mon1.check_output(FILL)
    try:
        assert eventually(lambda: not ingests(mon1), 60)
    finally:
        mon1.check_output("rm -r /prometheus/filler")
    assert eventually(lambda: ingests(mon1), 120)
    firing = 'ALERTS{alertname="PrometheusTsdbFailing", alertstate="firing"}'
    assert eventually(lambda: value(mon1, f"count({firing})"), 60)


def test_a_reboot_brings_everything_back_without_hands(mon1: Host) -> None:
    boot = mon1.check_output("cat /proc/sys/kernel/random/boot_id")
    lab("reboot", lab_name(), "mon1")
    assert mon1.check_output("cat /proc/sys/kernel/random/boot_id") != boot
    assert eventually(lambda: all_up(mon1), 120), ask(mon1, "targets", state="active")
    assert {name: unit(mon1, name, "ActiveState")["ActiveState"] for name in DAEMONS} == dict.fromkeys(
        DAEMONS, "active"
    )
    assert not mon1.check_output("systemctl list-units --failed --plain --no-legend")
    assert mon1.check_output("findmnt --noheadings --output=SOURCE /prometheus") == "/dev/vdb"
    assert "policy drop" in mon1.check_output("nft list ruleset")


def test_the_memory_limit_takes_prometheus_alone_and_it_comes_back_with_its_data(
    mon1: Host, load: Load, say: Say
) -> None:
    load.series = 20_000
    assert eventually(lambda: value(mon1, "count(load_series)") == 20_000, 120)
    others, victim = processes(mon1, "node_exporter", "ssh"), processes(mon1, "prometheus")
    first = kept(mon1, 60)[0]
    needs = int(mon1.check_output("awk '/^RssAnon/ {print $2 * 1024}' /proc/%s/status", victim["prometheus"]))
    limit, declared = int(needs * 0.9), unit(mon1, "prometheus", "MemoryMax")["MemoryMax"]
    load.series = 1000
    limit_to = "systemctl set-property --runtime prometheus.service MemoryMax=%s"
    mon1.check_output(limit_to, str(limit))
    assert eventually(lambda: processes(mon1, "prometheus") != victim, 60)
    mon1.check_output(limit_to, declared)  # to read what it had is no less than it had
    assert "oom-kill" in mon1.check_output("journalctl --unit=prometheus --boot --no-pager")
    began = time.monotonic()
    assert eventually(lambda: ingests(mon1), 120)
    say(f"killed at a limit of {limit / MIB:.0f} MiB, it stores again {time.monotonic() - began:.0f} s later")
    assert first in kept(mon1, 900)
    assert processes(mon1, "node_exporter", "ssh") == others


def used_share(host: Host, seconds: int) -> float:
    """Of one processor, how much Prometheus used in so many seconds."""
    show = "systemctl show --property=CPUUsageNSec --value prometheus; cat /proc/uptime"
    words = host.check_output(f"{show}; sleep {seconds}; {show}").split()
    (used, began, _idle), (used_then, ended, _idle) = words[:3], words[3:]
    return (int(used_then) - int(used)) / 1e9 / (float(ended) - float(began))


# What scrapes take of a processor is the machine's speed: this takes all of it, however quick the machine is.
ASKING = "while curl -so /dev/null http://127.0.0.1:9090/api/v1/query --data-urlencode %s; do :; done"


def test_the_processor_quota_holds(mon1: Host, say: Say) -> None:
    asking = ASKING % shlex.quote("query=sum(sum_over_time(load_series[5m:1s]))")
    mon1.check_output("systemd-run --quiet --collect --unit=asking sh -c %s", asking)
    free = used_share(mon1, 10)
    mon1.check_output("systemctl set-property --runtime prometheus.service CPUQuota=30%")
    share = used_share(mon1, 20)
    mon1.check_output("systemctl stop asking")
    say(f"with a quota of 30 % it used {share:.1%} of a processor, without one {free:.1%}")
    assert free > 0.6
    assert 0.2 < share < 0.33
