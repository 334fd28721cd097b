"""From what hosts are to what they must be: everything that is wrong with them, in one table."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.tds.monitoring.plugins.filter.capacity import (
    SHARE_OF_DISK,
    days_that_fit,
    kept_size,
    retention_bytes,
    with_measured,
)
from ansible_collections.tds.monitoring.plugins.filter.catalogue import duration_ms
from ansible_collections.tds.monitoring.plugins.filter.envelope import GO_SHARE, cpu_numbers
from ansible_collections.tds.monitoring.plugins.module_utils import storage

TRIED = {"debian": ("bookworm", "trixie", "forky")}
"""Systems of docs/compatibility.md, by their code names."""
MACHINES = ("x86_64", "aarch64")
OLDEST_SYSTEMD = 252
CONTROLLERS = ("cpu", "memory", "pids")
"""Without these a unit's CPUQuota, MemoryMax or TasksMax is a wish."""
LARGEST_CLOCK_ERROR = 2.0
"""Seconds that the kernel says it may be wrong by. It adds 0.5 ms a second from one correction to the next, and daemons
ask every 64 to 2048 s: beyond this none has come for an hour."""
LARGEST_CLOCK_DIFFERENCE = 5.0
"""Seconds between two hosts that are looked at together; they are not looked at in the same instant."""
SLOW_FSYNC, HOPELESS_FSYNC = 0.02, 0.5
"""Seconds. Each Prometheus segment and each generation ends with one."""
NOT_FOR_DATA = ("nfs", "nfs4", "cifs", "9p", "tmpfs", "ramfs", "fuse", "fuse.sshfs", "squashfs", "iso9660")
"""Prometheus' documentation asks for a local POSIX filesystem."""
DAY_MS = 86_400_000
OURS = "/opt/tds/"
PLACEHOLDERS = re.compile(r"(change[-_ ]?me|todo|fixme|xxx+|secret|password|placeholder|<.*>|\.\.\.)", re.IGNORECASE)
SECRETS = (("bearer_token",), ("basic_auth", "password"), ("redis", "password"))
"""What of a service is secret."""
ERROR, WARNING, NOTE = "error", "warning", "note"
DECLARATION = "declaration"
"""The check that nobody can accept: what is declared cannot work."""
CHECKS = (
    "archive", "capacity", "cgroup", "clock", "cpus", "disk", "fsync", "isolation", "machine", "memory", "names",
    "port", "system", "systemd", "time_daemon",
)  # fmt: skip
"""What preflight_accepted can hold."""


@dataclass(frozen=True)
class Finding:
    """One line of the table."""

    host: str
    check: str
    variable: str
    """What to mend: a variable, or what of the host."""
    value: str
    need: str
    remedy: str
    level: str = ERROR


def preflight_findings(hosts: Mapping[str, Mapping[str, Any]], site: Iterable[str] = ()) -> list[dict[str, str]]:
    """Everything that is wrong, of all hosts; errors first, then the site's declaration, then host by host.

    Args:
        hosts: by name, ``facts`` (of the module preflight_look); ``needs``; ``accepted``, checks whose errors are
            warnings there; and ``declared``, findings about the declaration, one text each. ``needs`` has ``cpus``,
            ``memory``, ``memory_together`` and ``prometheus_memory`` (bytes; 0 for no limit), ``pinned`` (a list of
            CPUs), ``data`` (the path, or empty), ``storage`` (the settings of that role), ``retention_size`` and
            ``retention_time``, ``capacity`` (of the filter capacity), ``ports`` (by what listens there), ``archives``
            (by daemon, ``version`` and ``url``) and ``clock_sources`` (whom the role timesync is to have the clock
            follow; empty where it does nothing).
        site: findings about the declaration that are no host's.

    Raises:
        AnsibleFilterError: a host accepts a check that there is none of.
    """
    found = [_declared("all", text) for text in site]
    found += _declared_of(hosts)
    for host, seen in hosts.items():
        if unknown := sorted(set(seen["accepted"]) - set(CHECKS)):
            raise AnsibleFilterError(
                f"preflight_accepted of {host} has {', '.join(unknown)}: write one of {', '.join(CHECKS)}"
            )
        for check in (_system, _size, _pinning, _cgroup, _clock, _time_daemons, _disk, _ports, _names, _archives):
            found += [replace(finding, host=host) for finding in check(seen["facts"], seen["needs"])]
        found += [_declared(host, text) for text in _storage(seen["facts"], seen["needs"])]
    found += _between({host: seen["facts"]["clock"]["time"] for host, seen in hosts.items()})
    for index, finding in enumerate(found):
        seen = hosts.get(finding.host, {"accepted": (), "needs": {}})
        mended = finding.check == "clock" and seen["needs"].get("clock_sources")  # by the run that this would stop
        if finding.level == ERROR and (finding.check in seen["accepted"] or mended):
            found[index] = replace(finding, level=WARNING)
    return [asdict(finding) for finding in sorted(found, key=lambda finding: finding.level != ERROR)]


def _declared_of(hosts: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """Each text once, with the hosts that it is said of."""
    texts = dict.fromkeys(text for seen in hosts.values() for text in seen["declared"])
    for text in texts:
        said_of = [host for host, seen in hosts.items() if text in seen["declared"]]
        yield _declared("all" if len(said_of) == len(hosts) else ", ".join(said_of), text)


def _declared(host: str, text: str) -> Finding:
    what, _, remedy = text.partition(": ")
    variable, _, value = what.partition(" is ")
    return Finding(host, DECLARATION, variable, value, "", remedy)


# Of one host. Their `host` is filled in by the caller.


def _system(facts: Mapping[str, Any], _needs: Mapping[str, Any]) -> Iterator[Finding]:
    system, machine, systemd = facts["system"], facts["machine"], facts["systemd"]
    if system["release"] not in TRIED.get(system["id"], ()):
        value = f"{system['id'] or 'unknown'} {system['release']}".strip()
        tried = "; ".join(f"{name}: {', '.join(releases)}" for name, releases in TRIED.items())
        yield Finding("", "system", "operating system", value, tried, "it may work; try it elsewhere first", WARNING)
    if machine not in MACHINES:
        remedy = "there are no releases for it: take the host out of the inventory"
        yield Finding("", "machine", "architecture", machine, " or ".join(MACHINES), remedy)
    if systemd < OLDEST_SYSTEMD:
        remedy = "upgrade the system: older ones ignore directives of the sandboxes"
        yield Finding("", "systemd", "systemd", str(systemd or "none"), f"{OLDEST_SYSTEMD} or newer", remedy)


def _size(facts: Mapping[str, Any], needs: Mapping[str, Any]) -> Iterator[Finding]:
    cpus, memory = facts["cpus"], facts["memory_bytes"]
    if cpus < needs["cpus"]:
        remedy = "give the host more, or less to do: CPUQuota in the daemons' _limits"
        yield Finding("", "cpus", "CPUs", str(cpus), f"{needs['cpus']:g}", remedy)
    # What firmware and kernel keep for themselves is no reason to refuse a machine of just that size.
    if memory < 0.9 * needs["memory"]:
        remedy = "give the host more, or less to do: MemoryMax in the daemons' _limits"
        yield Finding("", "memory", "memory", _size_text(memory), _size_text(needs["memory"]), remedy)
    elif memory < needs["memory_together"]:
        need = f"{_size_text(needs['memory_together'])} for all daemons at their limits"
        yield Finding("", "memory", "memory", _size_text(memory), need, "it may do: watch HostMemoryPressure", WARNING)


def _pinning(facts: Mapping[str, Any], needs: Mapping[str, Any]) -> Iterator[Finding]:
    pinned = cpu_numbers(needs["pinned"])
    online, isolated = (cpu_numbers(facts["cpu_numbers"][which]) for which in ("online", "isolated"))
    for wrong, what in ((pinned & isolated, "isolated"), (pinned - online, "not there")):
        if wrong:
            value = f"{needs['pinned']}, of which {', '.join(map(str, sorted(wrong)))} is {what}"
            kept = facts["cpu_numbers"]["isolated"] or "none"
            remedy = f"choose among {facts['cpu_numbers']['online']}, of which {kept} are kept for others"
            yield Finding("", "isolation", "monitoring_cpus", value, "CPUs for everybody", remedy)
    if pinned and len(pinned) < needs["cpus"]:
        remedy = "name more, or lower CPUQuota in the daemons' _limits"
        need = f"{needs['cpus']:g} CPUs, as CPUQuota says"
        yield Finding("", "isolation", "monitoring_cpus", str(needs["pinned"]), need, remedy)


def _cgroup(facts: Mapping[str, Any], _needs: Mapping[str, Any]) -> Iterator[Finding]:
    version, controllers = facts["cgroup"]["version"], facts["cgroup"]["controllers"]
    if version != 2:
        remedy = "boot with systemd.unified_cgroup_hierarchy=1: limits are not enforced"
        yield Finding("", "cgroup", "cgroup hierarchy", f"version {version}", "version 2", remedy)
    elif missing := [name for name in CONTROLLERS if name not in controllers]:
        value = " ".join(controllers) or "no controller"
        remedy = f"have the kernel, or who runs this container, give it {', '.join(missing)}: limits are not enforced"
        yield Finding("", "cgroup", "cgroup controllers", value, " ".join(CONTROLLERS), remedy)


def _clock(facts: Mapping[str, Any], needs: Mapping[str, Any]) -> Iterator[Finding]:
    clock = facts["clock"]
    if not clock["synchronised"]:
        remedy = "set timesync_servers, or run another that keeps the clock: `timedatectl` says what there is"
        if needs["clock_sources"]:
            remedy = "chrony is to keep it, by timesync_servers: if it runs, look at `chronyc sources`"
        yield Finding("", "clock", "clock", "not synchronised", "synchronised", remedy)
    elif clock["max_error"] > LARGEST_CLOCK_ERROR:
        value, need = f"up to {clock['max_error']:.3f} s wrong", f"at most {LARGEST_CLOCK_ERROR:g} s"
        yield Finding("", "clock", "clock", value, need, "look at the sources: `chronyc sources`")


def _time_daemons(facts: Mapping[str, Any], needs: Mapping[str, Any]) -> Iterator[Finding]:
    """Who sets the clock already. systemd-timesyncd leaves with chrony's coming: Debian's package sees to it."""
    sources, running = needs["clock_sources"], set(facts["time_daemons"]) - {"chronyd", "systemd-timesyn"}
    if any(source.get("kind") == "refclock" for source in sources):
        running.discard("ptp4l")  # it keeps the card's clock, which chrony follows
    if sources and running:
        remedy = "remove it; or leave the clock to it, with timesync_servers: [] for this host"
        value = f"set, and {', '.join(sorted(running))} runs"
        yield Finding("", "time_daemon", "timesync_servers", value, "one who sets the clock", remedy)


def _storage(facts: Mapping[str, Any], needs: Mapping[str, Any]) -> list[str]:
    return storage.faults(facts["storage"], needs["storage"]) if needs["storage"] else []


def _disk_to_be(facts: Mapping[str, Any], needs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The filesystem that data will be on: what is there, or what the role storage will mount."""
    seen, wanted = facts["storage"], needs["storage"]
    if not seen or not seen.get("size_bytes") or storage.is_mounted(seen):
        return dict(facts["disk"])
    return {
        "mount": storage.MOUNT,
        "filesystem": wanted["filesystem"],
        "options": ["rw", *wanted["mount_options"]],
        "size_bytes": seen["filesystem_bytes"] or seen["size_bytes"],
        "fsync_seconds": None,
    }


def _disk(facts: Mapping[str, Any], needs: Mapping[str, Any]) -> Iterator[Finding]:
    data = needs["data"]
    if not data:
        return
    disk = _disk_to_be(facts, needs)
    what = f"filesystem of {data}"
    if disk["filesystem"] in NOT_FOR_DATA:
        remedy = f"mount a local disk with ext4 or xfs at {data}"
        yield Finding("", "disk", what, disk["filesystem"], "a local filesystem", remedy)
    if "ro" in disk["options"]:
        remedy = "mount it anew, and see in the kernel's log why it was: `journalctl --dmesg`"
        yield Finding("", "disk", what, f"{disk['mount']} is read-only", "writable", remedy)
    if "noatime" not in disk["options"] and "relatime" not in disk["options"]:
        remedy = "add noatime to its options: storage_mount_options, or /etc/fstab"
        yield Finding("", "disk", what, "each reading writes a time", "noatime", remedy, WARNING)
    capacity = with_measured(needs["capacity"], facts["prometheus"])
    yield from _retention(disk, needs, capacity, what)
    yield from _memory(capacity, needs["prometheus_memory"])
    fsync = disk["fsync_seconds"]
    if fsync is not None and fsync > SLOW_FSYNC:
        level = ERROR if fsync > HOPELESS_FSYNC else WARNING
        remedy = "a disk that keeps up: samples wait in memory while it writes"
        yield Finding(
            "", "fsync", what, f"an fsync takes {1000 * fsync:.0f} ms", f"{1000 * SLOW_FSYNC:g} ms", remedy, level
        )


def _retention(
    disk: Mapping[str, Any], needs: Mapping[str, Any], capacity: Mapping[str, Any], what: str
) -> Iterator[Finding]:
    declared = needs["retention_size"]
    if retention_bytes(declared) is None:
        remedy = "write a size as Prometheus has them, such as 50GB: without one the disk fills"
        yield Finding("", "disk", "prometheus_retention_size", repr(declared), "a size", remedy)
        return
    kept = kept_size(declared, disk["size_bytes"])
    log = capacity["wal_bytes"]
    if (retention_bytes(kept) or 0) <= log:
        value, need = f"{kept} of {_size_text(disk['size_bytes'])}", f"{_size_text(log)} for the write-ahead log alone"
        yield Finding("", "disk", what, value, need, "give the host a larger disk, or scrape less often")
        return
    yield from _days(kept, needs["retention_time"], capacity)
    if kept != declared:
        need = f"at most {SHARE_OF_DISK:.0%} of {_size_text(disk['size_bytes'])}, the {what}"
        remedy = f"Prometheus is told {kept}: the rest is for compaction"
        yield Finding("", "disk", "prometheus_retention_size", declared, need, remedy, NOTE)


def _days(kept: str, time: object, capacity: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether the days that are wanted fit beside the log."""
    if (wanted := duration_ms(time)) is None:
        remedy = "write a duration as Prometheus has them, such as 30d"
        yield Finding("", "capacity", "prometheus_retention_time", repr(time), "a duration", remedy)
        return
    fit = days_that_fit(kept, capacity)
    level = NOTE
    remedy = (
        f"{capacity['bytes_per_day'] / 1e6:,.0f} MB a day, {capacity['wal_bytes'] / 1e6:,.0f} MB of log, "
        f"{capacity['series']:,} series, {capacity['page_bytes_per_second'] / 1e6:,.1f} MB/s of pages"
    )
    if fit < wanted / DAY_MS:
        level = ERROR
        most, samples = next(iter(capacity["by_service"].items()))
        remedy = (
            f"keep {int(fit)}d, or scrape less often: {samples} of the samples/s are of {most}. Or a larger disk and "
            "prometheus_retention_size; or accept it (capacity): then the oldest goes first"
        )
    value = f"{time} of {capacity['samples_per_second']} samples/s"
    need = f"{fit:.1f} days fit into {kept}"
    yield Finding("", "capacity", "prometheus_retention_time", value, need, remedy, level)


def _memory(capacity: Mapping[str, Any], most: float) -> Iterator[Finding]:
    """Whether Go may have what the series take; ``most`` is Prometheus' MemoryMax, 0 for none."""
    if most and capacity["memory_bytes"] > GO_SHARE * most:
        value = f"{_size_text(most)}, of which Go may have {GO_SHARE:.0%}"
        need = f"{_size_text(capacity['memory_bytes'])} for {capacity['series']:,} series"
        remedy = "scrape fewer series, or give it more; or accept it (capacity): then it is killed now and then"
        yield Finding("", "capacity", "prometheus_limits.MemoryMax", value, need, remedy)


def _ports(facts: Mapping[str, Any], needs: Mapping[str, Any]) -> Iterator[Finding]:
    for what, port in needs["ports"].items():
        holder = facts["listeners"].get(str(port))
        if holder is not None and not holder["exe"].startswith(OURS):
            who = f"{holder['name']} ({holder['exe']})" if holder["exe"] else holder["name"] or "the kernel"
            earlier = PurePath(holder["exe"]).name.replace("-", "_").endswith(what.removesuffix("_cluster"))
            remedy = "stop it, or choose another port"
            if earlier:  # the daemon's own role says what it takes over, and refuses what it does not
                remedy = "an earlier installation, it seems: daemon_adopt takes over those that the roles know"
            level = WARNING if earlier else ERROR
            yield Finding("", "port", f"{what}_port", f"{port}, where {who} listens", "a free port", remedy, level)


def _names(facts: Mapping[str, Any], _needs: Mapping[str, Any]) -> Iterator[Finding]:
    for name, addresses in facts["names"].items():
        if not addresses:
            remedy = "add it to DNS or /etc/hosts, or write an address"
            yield Finding("", "names", name, "nobody here knows it", "an address", remedy)


def _archives(facts: Mapping[str, Any], needs: Mapping[str, Any]) -> Iterator[Finding]:
    for daemon, fault in facts["archives"].items():
        url = needs["archives"][daemon]["url"]
        if "://" not in url and not Path(url).is_file():  # from the controller, who is who asks here
            remedy = "put it there, or set artifact_source to where it is"
            yield Finding("", "archive", f"release of {daemon}", f"{url} is not there", "a file", remedy)
        elif fault:
            remedy = "put it there (artifact_source), or let this host reach it"
            yield Finding("", "archive", f"release of {daemon}", f"{url}: {fault}", "an answer", remedy)


def _between(times: Mapping[str, float]) -> Iterator[Finding]:
    """What shows only when hosts are compared."""
    middle = sorted(times.values())[len(times) // 2] if times else 0.0
    for host, at in times.items():
        if abs(at - middle) > LARGEST_CLOCK_DIFFERENCE:
            value, need = f"{at - middle:+.0f} s beside the others", f"at most {LARGEST_CLOCK_DIFFERENCE:g} s"
            yield Finding(host, "clock", "clock", value, need, "set it, and have it kept by chrony")


def _size_text(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"


# --- What is declared


def address_findings(addresses: Mapping[str, str]) -> list[str]:
    """Hosts that have one address together, or none."""
    hosts: dict[str, list[str]] = {}
    for host, address in addresses.items():
        hosts.setdefault(str(address or ""), []).append(host)
    return [
        f"monitoring_address of {' and '.join(names)} is {address!r}: write each host its own into host_vars/<host>.yml"
        for address, names in hosts.items()
        if len(names) > 1 or not address
    ]


def target_hosts(services: object) -> list[str]:
    """The names and addresses in the targets of a catalogue, but for localhost; none of one that cannot work."""
    if not isinstance(services, Mapping):
        return []
    instances = [entry for settings in services.values() for entry in settings.get("instances", [])]
    hosts = (str(entry["target"]).rpartition(":")[0].strip("[]") for entry in instances)
    return [host for host in dict.fromkeys(hosts) if host != "localhost"]


def declared_secrets(services: object) -> dict[str, Any]:
    """Tokens and passwords in a catalogue, by where they stand; catalogue_findings tells of those that are empty."""
    found = {}
    for name, settings in services.items() if isinstance(services, Mapping) else ():
        for path in SECRETS:
            at = settings
            for key in path:
                at = at.get(key) if isinstance(at, Mapping) else None
            if at:
                found[".".join(("monitored_services", str(name), *path))] = at
    return found


def secret_findings(secrets: Mapping[str, Any]) -> list[str]:
    """Secrets that are none, by variable; no value is ever shown."""
    return [
        f"{variable} is {'a placeholder' if value else 'empty'}: write it into vault.yml with `ansible-vault edit`"
        for variable, value in secrets.items()
        if not value or PLACEHOLDERS.fullmatch(str(value).strip())
    ]


# --- For readers


def preflight_table(findings: Sequence[Mapping[str, str]]) -> str:
    """The findings as a table of text, each remedy below what it mends; empty for none."""
    if not findings:
        return ""
    columns = {"level": "level", "host": "host", "variable": "what", "value": "is", "need": "need"}
    rows = [finding for finding in findings if finding["check"] != DECLARATION]
    widths = {key: max(len(row[key]) for row in [columns, *rows]) for key in columns}
    lines = []
    for row in [columns, *findings]:
        cells = [row[key].ljust(size) for key, size in widths.items()]
        if row is columns:
            lines.append("  ".join(cells).rstrip())
        elif row["check"] == DECLARATION:  # a sentence
            said = f"{row['variable']} is {row['value']}" if row["value"] else row["variable"]
            lines.append("  ".join([*cells[:2], f"{said}: {row['remedy']}" if row["remedy"] else said]))
        else:
            lines += ["  ".join(cells).rstrip(), f"    -> {row['remedy']}"]
    errors, warnings = (sum(finding["level"] == level for finding in findings) for level in (ERROR, WARNING))
    summary = f"{errors} errors, {warnings} warnings"
    return "\n".join([*lines, f"{summary}; nothing was changed" if errors else summary])


def preflight_json(findings: Sequence[Mapping[str, str]]) -> str:
    """The findings for programs."""
    return json.dumps(list(findings), indent=2) + "\n"


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        functions = (
            address_findings,
            declared_secrets,
            preflight_findings,
            preflight_json,
            preflight_table,
            secret_findings,
            target_hosts,
        )
        return {function.__name__: function for function in functions}
