"""The hosts: CPU, memory, disks, network, clocks."""

from __future__ import annotations

from functools import partial
from typing import Any

from dashboards.parts import (
    BYTES,
    BYTES_PER_SECOND,
    COUNT,
    EVENTS,
    MILLISECONDS,
    PACKETS,
    RATIO,
    SECONDS,
    UP,
    Board,
    Column,
    Limits,
    Query,
    Variable,
    graph,
    number,
    row,
    rows,
    states,
)  # fmt: skip

OF = 'host=~"$host"'
NAME = "{{host}}"
DISK = 'fstype!~"tmpfs|ramfs|overlay|squashfs|iso9660|fuse.*"'
CARD = 'device!~"lo|veth.*|docker.*|br-.*"'
NO_DISK = "a container has no disk of its own"


each = partial(graph, every="own")


shown = partial(number, every="own")


def per_second(counter: str, legend: str = NAME, more: str = "", **options: Any) -> Query:
    return Query(f"rate({counter}{{{OF}{more and ', ' + more}}}[$__rate_interval])", legend, **options)


def pressure(what: str, legend: str) -> Query:
    return per_second(
        f"node_pressure_{what}_seconds_total", legend, may_be_empty="the kernel does not account pressure"
    )


BOARD = Board(
    uid="hosts",
    title="Hosts",
    why="What the machines below it all have left.",
    variables=(Variable("host", "Host", 'label_values(up{job="node"}, host)'),),
    rows=(
        row(
            "",
            shown(
                "Up",
                "Whether it answers a ping.",
                COUNT,
                Query(f'probe_success{{job="host", {OF}}}', NAME),
                states=UP,
                runbooks=("HostDown",),
            ),
            shown(
                "CPU busy",
                "Of the last 5 minutes.",
                RATIO,
                Query(f"instance:cpu_busy:ratio_rate5m{{{OF}}}", NAME),
                limits=Limits(warning="cpu_busy_ratio"),
                runbooks=("HostCpuBusy",),
            ),
            shown(
                "Memory in use",
                "What programs could not get any more.",
                RATIO,
                Query(f"1 - node_memory_MemAvailable_bytes{{{OF}}} / node_memory_MemTotal_bytes{{{OF}}}", NAME),
                limits=Limits(warning=0.9, critical=0.95),
                runbooks=("HostMemoryPressure",),
            ),
            shown(
                "Fullest filesystem",
                "How much of it is in use.",
                RATIO,
                Query(
                    f"1 - min by (host) (node_filesystem_avail_bytes{{{OF}, {DISK}}}"
                    f" / (node_filesystem_size_bytes{{{OF}, {DISK}}} > 0))",
                    NAME,
                    may_be_empty=NO_DISK,
                ),
                limits=Limits(warning=0.8, critical=0.9),
                runbooks=("HostDiskFullIn4h", "HostDiskFullIn24h"),
            ),
            shown(
                "Clock offset",
                "Against Prometheus' clock.",
                MILLISECONDS,
                Query(f"abs(instance:clock_offset_seconds:min5m{{{OF}}}) * 1000", NAME),
                limits=Limits(warning="clock_offset_milliseconds"),
                runbooks=("HostClockOffset",),
            ),
            shown(
                "Failed units",
                "That systemd has given up.",
                COUNT,
                Query(f'sum by (host) (node_systemd_unit_state{{{OF}, state="failed"}})', NAME),
                limits=Limits(warning=1),
                runbooks=("HostUnitFailed",),
            ),
            height=5,
        ),
        row(
            "",
            rows(
                "Hosts",
                "What they are, and since when they are up.",
                SECONDS,
                Query(
                    f"(time() - node_boot_time_seconds{{{OF}}}) * on (instance) group_left (release, machine)"
                    f" node_uname_info{{{OF}}}"
                ),
                every="own",
                columns=(
                    Column("host", "Host"),
                    Column("instance", "Address"),
                    Column("release", "Kernel"),
                    Column("machine", "Machine"),
                    Column("Value", "Up for", SECONDS),
                ),
                width=12,
            ),
            states(
                "Answers a ping",
                "Each second.",
                COUNT,
                Query(f'probe_success{{job="host", {OF}}}', NAME),
                states=UP,
                runbooks=("HostDown",),
                width=6,
            ),
            graph(
                "Time of a ping",
                "There and back.",
                SECONDS,
                Query(
                    f'probe_icmp_duration_seconds{{phase="rtt", job="host", {OF}}}',
                    NAME,
                    may_be_empty="hosts are probed at their SSH port (monitoring_host_probe)",
                ),
                width=6,
            ),
        ),
        row(
            "CPU and memory",
            each(
                "CPU busy",
                "Share of all CPUs' time.",
                RATIO,
                Query(
                    f'1 - sum by (host) (rate(node_cpu_seconds_total{{{OF}, mode=~"idle|iowait"}}[$__rate_interval]))'
                    f' / count by (host) (node_cpu_seconds_total{{{OF}, mode="idle"}})',
                    NAME,
                ),
                limits=Limits(warning="cpu_busy_ratio"),
                most=1,
                runbooks=("HostCpuBusy",),
            ),
            each(
                "CPU by what for",
                "CPUs in use.",
                COUNT,
                Query(
                    f'sum by (mode) (rate(node_cpu_seconds_total{{{OF}, mode!~"idle|iowait"}}[$__rate_interval]))',
                    "{{mode}}",
                ),
                stacked=True,
            ),
            each(
                "Load by CPU",
                "Programs that run or wait, for each CPU: above 1 they wait for each other.",
                COUNT,
                Query(
                    f'node_load1{{{OF}}} / on (host) count by (host) (node_cpu_seconds_total{{{OF}, mode="idle"}})',
                    NAME,
                ),
                limits=Limits(warning=1, critical=2),
            ),
            each(
                "Memory in use",
                "Share that programs could not get any more.",
                RATIO,
                Query(f"1 - node_memory_MemAvailable_bytes{{{OF}}} / node_memory_MemTotal_bytes{{{OF}}}", NAME),
                limits=Limits(warning=0.9, critical=0.95),
                most=1,
            ),
        ),
        row(
            "",
            each(
                "Waiting",
                "Share of the time that at least one program stood still for want of it.",
                RATIO,
                pressure("cpu_waiting", NAME + " CPU"),
                pressure("memory_waiting", NAME + " memory"),
                pressure("io_waiting", NAME + " disk"),
                limits=Limits(warning="memory_pressure_ratio"),
                runbooks=("HostMemoryPressure",),
            ),
            each(
                "Memory",
                "Available to programs, and all.",
                BYTES,
                Query(f"node_memory_MemAvailable_bytes{{{OF}}}", NAME + " available"),
                Query(f"node_memory_MemTotal_bytes{{{OF}}}", NAME + " all"),
            ),
            each(
                "Swap",
                "In and out, pages each second.",
                EVENTS,
                per_second("node_vmstat_pswpin", NAME + " in"),
                per_second("node_vmstat_pswpout", NAME + " out"),
            ),
            each(
                "Killed for memory",
                "By the kernel, in the last 10 minutes.",
                COUNT,
                Query(f"increase(node_vmstat_oom_kill{{{OF}}}[10m])", NAME),
                limits=Limits(warning=1),
                runbooks=("HostOomKill",),
            ),
        ),
        row(
            "Disks",
            each(
                "Free space",
                "Share of each filesystem that is left.",
                RATIO,
                Query(
                    f"node_filesystem_avail_bytes{{{OF}, {DISK}}} / (node_filesystem_size_bytes{{{OF}, {DISK}}} > 0)",
                    NAME + " {{mountpoint}}",
                    may_be_empty=NO_DISK,
                ),
                limits=Limits(warning=0.2, critical=0.1, falling=True),
                most=1,
                runbooks=("HostDiskFullIn4h", "HostDiskFullIn24h"),
            ),
            each(
                "Free inodes",
                "Without one no file can be made.",
                RATIO,
                Query(
                    f"node_filesystem_files_free{{{OF}, {DISK}}} / (node_filesystem_files{{{OF}, {DISK}}} > 0)",
                    NAME + " {{mountpoint}}",
                    may_be_empty=NO_DISK,
                ),
                limits=Limits(warning="inodes_free_ratio", falling=True),
                most=1,
                runbooks=("HostInodesLow",),
            ),
            each(
                "Disk busy",
                "Share of the time.",
                RATIO,
                per_second("node_disk_io_time_seconds_total", NAME + " {{device}}", may_be_empty=NO_DISK),
                limits=Limits(warning=0.9),
                most=1,
            ),
            each(
                "Time of a write",
                "On average.",
                SECONDS,
                Query(
                    f"rate(node_disk_write_time_seconds_total{{{OF}}}[$__rate_interval])"
                    f" / (rate(node_disk_writes_completed_total{{{OF}}}[$__rate_interval]) > 0)",
                    NAME + " {{device}}",
                    may_be_empty=NO_DISK,
                ),
            ),
        ),
        row(
            "",
            each(
                "Read",
                "Bytes each second.",
                BYTES_PER_SECOND,
                per_second("node_disk_read_bytes_total", NAME + " {{device}}", may_be_empty=NO_DISK),
            ),
            each(
                "Written",
                "Bytes each second.",
                BYTES_PER_SECOND,
                per_second("node_disk_written_bytes_total", NAME + " {{device}}", may_be_empty=NO_DISK),
            ),
            states(
                "Read-only",
                "A filesystem that takes no writes.",
                COUNT,
                Query(f"node_filesystem_readonly{{{OF}, {DISK}}}", NAME + " {{mountpoint}}", may_be_empty=NO_DISK),
                every="own",
                states={0: ("takes writes", "green"), 1: ("read-only", "red")},
                runbooks=("HostFilesystemReadOnly",),
            ),
        ),
        row(
            "Network",
            each(
                "Received",
                "Bytes each second.",
                BYTES_PER_SECOND,
                per_second("node_network_receive_bytes_total", NAME + " {{device}}", CARD),
            ),
            each(
                "Sent",
                "Bytes each second.",
                BYTES_PER_SECOND,
                per_second("node_network_transmit_bytes_total", NAME + " {{device}}", CARD),
            ),
            each(
                "Damaged or lost packets",
                "Each second, in and out.",
                PACKETS,
                Query(
                    f"rate(node_network_receive_errs_total{{{OF}, {CARD}}}[$__rate_interval])"
                    f" + rate(node_network_transmit_errs_total{{{OF}, {CARD}}}[$__rate_interval])"
                    f" + rate(node_network_receive_drop_total{{{OF}, {CARD}}}[$__rate_interval])"
                    f" + rate(node_network_transmit_drop_total{{{OF}, {CARD}}}[$__rate_interval])",
                    NAME + " {{device}}",
                ),
                runbooks=("HostNetworkErrors",),
            ),
            each(
                "Sent again",
                "TCP segments each second; many are a bad line.",
                PACKETS,
                per_second("node_netstat_Tcp_RetransSegs"),
                runbooks=("HostNetworkErrors",),
            ),
        ),
        row(
            "Clocks and systemd",
            each(
                "Clock offset",
                "Against Prometheus' clock.",
                MILLISECONDS,
                Query(f"instance:clock_offset_seconds:min5m{{{OF}}} * 1000", NAME),
                limits=Limits(warning="clock_offset_milliseconds"),
                runbooks=("HostClockOffset",),
            ),
            each(
                "How wrong the clock may be",
                "By the kernel's word.",
                MILLISECONDS,
                Query(
                    f"node_timex_maxerror_seconds{{{OF}}} * 1000",
                    NAME,
                    may_be_empty="a container has no clock of its own",
                ),
                limits=Limits(warning="clock_error_milliseconds"),
                runbooks=("HostClockNotKept",),
            ),
            each("Open connections", "Of TCP.", COUNT, Query(f"node_netstat_Tcp_CurrEstab{{{OF}}}", NAME)),
            each(
                "Open files",
                "Share of what the kernel allows.",
                RATIO,
                Query(f"node_filefd_allocated{{{OF}}} / node_filefd_maximum{{{OF}}}", NAME),
                limits=Limits(warning=0.8),
            ),
        ),
    ),
)
