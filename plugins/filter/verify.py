"""From what a live site says of itself to what is so, and what is not: one row for each check of each host, or for each
fault that it finds.

A check that was not made is a row too, ``skipped`` and with the reason: silence is never a good answer.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from ansible.errors import AnsibleFilterError
from ansible_collections.tds.monitoring.plugins.filter.capacity import (
    DAY,
    days_that_fit,
    kept_size,
    retention_bytes,
    with_measured,
)
from ansible_collections.tds.monitoring.plugins.filter.catalogue import duration_ms
from ansible_collections.tds.monitoring.plugins.filter.certificates import certificate_facts
from ansible_collections.tds.monitoring.plugins.filter.contract import contract_findings
from ansible_collections.tds.monitoring.plugins.filter.envelope import FORMS, limit_number

ERROR, WARNING, SKIPPED, OK = LEVELS = ("error", "warning", "skipped", "ok")
CHECKS = ("targets", "rules", "contract", "alert", "door", "certificates", "limits", "retention", "scrapes", "sync")
"""What ``--tags`` and ``--skip-tags`` choose among."""
OF_PROMETHEUS = ("targets", "rules", "contract", "retention", "scrapes", "sync")
ALL_TAGS = frozenset({"all", "tagged", "untagged"})
LOG_IN = 401
REDIRECTIONS = (301, 302, 303, 307, 308)
PROBE_JOBS = ("host", "probe")
"""Whose scrapes take as long as what they probe."""
SHOWN = 5
AGAIN = "run site.yml"
COLUMNS = ("host", "check", "level", "what", "value", "need", "remedy")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    value: str
    need: str = ""
    remedy: str = ""
    level: str = ERROR
    host: str = ""
    check: str = ""


Facts = Mapping[str, Any]
Rows = Iterator[Row]


def verify_checks(run_tags: Sequence[str], skip_tags: Sequence[str] = ()) -> list[str]:
    """The checks that ``--tags`` and ``--skip-tags`` leave.

    Raises:
        AnsibleFilterError: a tag is none of a check, or none is left.
    """
    wanted = set(CHECKS) if ALL_TAGS & set(run_tags) else set(run_tags) - {"always"}
    if strange := sorted((wanted | set(skip_tags)) - set(CHECKS) - ALL_TAGS - {"always", "never"}):
        raise AnsibleFilterError(f"verify makes no check {', '.join(strange)}: --tags takes {', '.join(CHECKS)}")
    if not (left := [check for check in CHECKS if check in wanted and check not in skip_tags]):
        raise AnsibleFilterError(f"--tags and --skip-tags leave no check: there are {', '.join(CHECKS)}")
    return left


def verify_report(
    hosts: Mapping[str, Mapping[str, Any] | None], site: str = "", at: str | None = None
) -> dict[str, Any]:
    """Everything that was seen, judged.

    Args:
        hosts: by name, ``facts`` (of the module verify_look) and ``needs``; nothing for a host that could not be
            looked at. ``needs`` has ``checks``; ``limits`` by unit, in directives; ``thresholds``; ``accepted`` (of the
            preflight); ``door``, whether one is declared; and, of a host with a Prometheus, ``prometheus`` with
            ``targets``, ``rules``, ``contracts``, ``contract_metrics``, ``retention_size``, ``retention_time``,
            ``capacity``, and ``receiver``.
        site: its name, for the reader.
        at: when it was looked at, in ISO 8601.

    Returns:
        ``site``, ``at``, ``counts`` by level, ``rows`` (errors first), and by Prometheus host what the page draws:
        ``scrapes``, ``retention``, ``sync``, ``drawn``.
    """
    rows: list[Row] = []
    drawn = {}
    for host, seen in hosts.items():
        if not seen:
            remedy = "see above what Ansible says of it, or leave it out: --limit"
            rows.append(Row("this host", "was not looked at", "an answer", remedy, host=host, check="host"))
            continue
        facts, needs = seen["facts"], seen["needs"]
        for check in needs["checks"]:
            rows += [replace(row, host=host, check=check) for row in _check(check, facts, needs)]
        if needs["prometheus"]:
            drawn[host] = _drawn(facts, needs)
    rows.sort(key=lambda row: (LEVELS.index(row.level), [*CHECKS, "host"].index(row.check)))
    counts = Counter(row.level for row in rows)
    return {
        "site": site,
        "at": at or datetime.now(UTC).isoformat(timespec="seconds"),
        "counts": {level: counts[level] for level in LEVELS},
        "rows": [{key: getattr(row, key) for key in COLUMNS} for row in rows],
        "drawn": drawn,
    }


def _check(check: str, facts: Facts, needs: Facts) -> Rows:
    if check in (*OF_PROMETHEUS, "alert") and not needs["prometheus"]:
        return
    if check == "door":
        yield from _door(facts.get("door"), needs)
        return
    seen = facts.get(check)
    if seen is None:
        yield Row(check, "not asked", "", "a run without --check asks", SKIPPED)
    elif isinstance(seen, Mapping) and set(seen) == {"fault"}:
        remedy = "look at the host: `systemctl status`, `journalctl`"
        yield Row(check, f"no answer: {seen['fault']}", "an answer", remedy)
    else:
        yield from JUDGES[check](seen, needs)


def _fine(faults: list[Row], what: str, value: str) -> Rows:
    """The faults, or one row that says that there are none."""
    yield from faults or [Row(what, value, level=OK)]


# --- Of Prometheus


def _targets(seen: Sequence[Facts], needs: Facts) -> Rows:
    shown = {(one["job"], one["instance"]): one for one in seen}
    wanted = {tuple(target) for target in needs["prometheus"]["targets"]}
    faults = [
        Row(
            f"{job} {instance}",
            "is no target",
            "a target",
            f"{AGAIN}: this Prometheus reads another targets.yml",
        )
        for job, instance in sorted(wanted - set(shown))
    ]
    for (job, instance), one in sorted(shown.items()):
        name = f"{job} {instance}"
        if one["declared"] and (job, instance) not in wanted:
            faults.append(Row(name, "is not declared", "no target", f"{AGAIN}, or add it to monitored_services"))
        elif one["health"] != "up":
            remedy = "see whether it runs, and what the firewall lets through"
            value = f"{one['health']}: {one['error']}" if one["error"] else one["health"]
            faults.append(Row(name, value, "up", remedy))
        elif not one["answers"]:
            remedy = "what asks for it is up: see whether it runs, and who may connect"
            faults.append(Row(name, "does not answer who asks for it", "an answer", remedy))
    yield from _fine(faults, "targets", f"{len(wanted)} of {len(wanted)} up")


def _rules(seen: Sequence[Facts], needs: Facts) -> Rows:
    shown = Counter((rule["type"], rule["name"]) for rule in seen)
    wanted = Counter((kind, name) for kind, name in needs["prometheus"]["rules"])
    faults = [
        Row(f"{kind} {name}", "is not loaded", "loaded", AGAIN) for kind, name in sorted((wanted - shown).elements())
    ]
    faults += [
        Row(f"{kind} {name}", "is not declared", "no such rule", f"{AGAIN}, or add it to prometheus_rule_files")
        for kind, name in sorted((shown - wanted).elements())
    ]
    for rule in seen:
        if rule["health"] != "ok":
            value = f"{rule['health']}: {rule['error']}" if rule["error"] else rule["health"]
            remedy = "mend its expression; what it watches is not watched"
            faults.append(Row(f"{rule['type']} {rule['name']}", value, "ok", remedy))
    firing = {rule["name"]: rule["firing"] for rule in seen if rule["firing"] and rule["name"] != "Watchdog"}
    now = ", ".join(f"{name} {count}" for name, count in sorted(firing.items())) or "none"
    yield from _fine(faults, "rules", f"{len(seen)} loaded and healthy; firing: {now}")


def _contract(seen: Facts, needs: Facts) -> Rows:
    prometheus = needs["prometheus"]
    if not prometheus["contracts"]:
        yield Row("contract", "no service keeps one", "", "write contract: backend into monitored_services", SKIPPED)
        return
    found = contract_findings(
        prometheus["targets"],
        prometheus["contracts"],
        prometheus["contract_metrics"],
        seen["metadata"],
        seen["series"],
        needs["thresholds"],
    )
    faults = [
        Row(
            f"{one['service']} {one['instance']} {one['metric']}",
            one["finding"],
            "",
            "docs/metrics.md says what it is",
        )
        for one in found
    ]
    kept = ", ".join(
        f"{service} keeps the contract {name}" for service, name in sorted(prometheus["contracts"].items())
    )
    yield from _fine(faults, "contract", kept)


def _retention(seen: Facts, needs: Facts) -> Rows:
    judged = _retention_facts(seen, needs)
    level = WARNING if "capacity" in needs["accepted"] else ERROR
    if seen["limit_bytes"] != judged["kept_bytes"]:
        value = "no limit" if not seen["limit_bytes"] else f"{seen['limit_bytes'] / 2**30:.1f} GiB"
        yield Row("size limit", value, f"{judged['kept']}, of prometheus_retention_size and the filesystem", AGAIN)
    value = f"{judged['days']:.1f} days ({judged['by']}), of which {judged['held_days']:.1f} are there"
    need = f"{needs['prometheus']['retention_time']} in {judged['kept']}"
    if judged["days"] < judged["wanted_days"]:
        remedy = "a larger disk and prometheus_retention_size, or scrape less often: the oldest goes first"
        yield Row("retention", value, need, remedy, level)
    else:
        yield Row("retention", value, need, level=OK)


def _retention_facts(seen: Facts, needs: Facts) -> dict[str, Any]:
    """Days that fit, by Prometheus' own forecast once it has one, else by what the preflight counts with."""
    prometheus = needs["prometheus"]
    kept = kept_size(prometheus["retention_size"], seen["filesystem_bytes"])
    estimate = days_that_fit(kept, with_measured(prometheus["capacity"], seen["running"]))
    forecast = seen["forecast_seconds"]
    return {
        "kept": kept,
        "kept_bytes": retention_bytes(kept),
        "days": estimate if forecast is None else forecast / DAY,
        "by": "estimated" if forecast is None else "forecast from the last hour",
        "wanted_days": (duration_ms(prometheus["retention_time"]) or 0) / DAY / 1000,
        "held_days": max(0.0, seen["at"] - seen["oldest"]) / DAY if seen["oldest"] else 0.0,
    }


def _scrapes(seen: Mapping[str, Facts], needs: Facts) -> Rows:
    if not seen:
        yield Row("scrapes", "there are none", "scrapes", f"{AGAIN}: Prometheus scrapes nothing")
        return
    thresholds = needs["thresholds"]
    if young := sorted(job for job, one in seen.items() if "due" not in one):
        what = f"scrapes of {', '.join(young)}"
        yield Row(what, "too few yet to count", "", "ask again in a few minutes", SKIPPED)
    faults = []
    for job, one in sorted(seen.items()):
        if "due" in one and one["made"] < (1 - thresholds["scrapes_missed_ratio"]) * one["due"]:
            need = f"at least {1 - thresholds['scrapes_missed_ratio']:.0%}"
            remedy = "Prometheus or its host is too busy: docs/runbooks/ScrapesMissed.md"
            faults.append(Row(f"scrapes of {job}", f"{one['made']:.0f} of {one['due']:.0f} made", need, remedy))
        of_timeout = one.get("of_timeout", 0.0)
        if job not in PROBE_JOBS and of_timeout > thresholds["scrape_time_ratio"]:
            need = f"at most {thresholds['scrape_time_ratio']:.0%}"
            remedy = "beyond it they fail: docs/runbooks/ScrapeSlow.md"
            faults.append(Row(f"scrapes of {job}", f"take {of_timeout:.0%} of their timeout", need, remedy))
    made, due = (sum(one.get(what, 0) for one in seen.values()) for what in ("made", "due"))
    value = f"{made:.0f} of {due:.0f} made in 2 min, {samples_per_second(seen):,.0f} samples/s; {_slowest(seen)}"
    yield from _fine(faults, "scrapes", value)


def samples_per_second(scrapes: Mapping[str, Facts]) -> float:
    """Of all jobs together."""
    return sum(
        float(one["samples"] / one["interval"]) for one in scrapes.values() if one.get("interval") and "samples" in one
    )


def _slowest(scrapes: Mapping[str, Facts]) -> str:
    of_interval = {
        job: one["average"] / one["interval"]
        for job, one in scrapes.items()
        if one.get("interval") and "average" in one and job not in PROBE_JOBS
    }
    if not of_interval:
        return "none has been timed"
    job = max(of_interval, key=lambda job: of_interval[job])
    return f"the longest, of {job}, take {1000 * scrapes[job]['average']:.1f} ms of {scrapes[job]['interval']:g} s"


def _sync(seen: Mapping[str, Facts], needs: Facts) -> Rows:
    if "backend" not in needs["prometheus"]["contracts"].values():
        yield Row("sync", "no service keeps the contract backend", "", "write it into monitored_services", SKIPPED)
        return
    if not seen:
        yield Row("sync", "no service says anything of it", "sync_latency_seconds", "see the check contract")
    for instance, one in sorted(seen.items()):
        yield from _sync_of(instance, one, needs["thresholds"])


def _sync_of(instance: str, one: Facts, thresholds: Facts) -> Rows:
    faults = []
    latency, age, errors = (one.get(what, float("nan")) for what in ("latency", "age", "errors"))
    checks = (
        ("latency", latency, thresholds["sync_latency_seconds"], "SlowSync", "s on average of a minute"),
        ("last sync", age, thresholds["sync_stalled_seconds"], "SyncStalled", "s ago"),
        ("failed syncs", errors, thresholds["sync_errors"], "SyncFailing", "in 5 min"),
    )
    for what, value, most, alert, unit in checks:
        if not value <= most:  # what is not there is no number
            shown = f"{value:.3g} {unit}" if value == value else "not known"
            faults.append(Row(f"sync of {instance}: {what}", shown, f"at most {most:g}", f"docs/runbooks/{alert}.md"))
    value = (
        f"{1000 * latency:.0f} ms on average, {1000 * one.get('slowest', latency):.0f} ms at most; "
        f"{one.get('rows_per_second', 0):,.0f} rows/s, {one.get('pending', 0):,.0f} wait"
    )
    yield from _fine(faults, f"sync of {instance}", value)


def _drawn(facts: Facts, needs: Facts) -> dict[str, Any]:
    """What the page draws; of what could not be asked, nothing."""

    def seen(section: str) -> Any:
        found = facts.get(section) or {}
        return {} if "fault" in found else found

    judged = _retention_facts(seen("retention"), needs) if seen("retention") else {}
    sync_limit = needs["thresholds"]["sync_latency_seconds"]
    return {
        "scrapes": seen("scrapes"),
        "retention": judged,
        "sync": seen("sync"),
        "drawn": seen("drawn"),
        "sync_limit": sync_limit,
    }


# --- Of the others


def _alert(seen: Facts, needs: Facts) -> Rows:
    receiver, faults = needs["prometheus"]["receiver"], []
    if not seen["watchdog"]:
        remedy = "Prometheus does not reach this Alertmanager: see prometheus_notifications_errors_total"
        faults.append(Row("Watchdog, from Prometheus", "is not there", "always there", remedy))
    for name, wanted in needs["prometheus"]["integrations"].items():
        counts = seen["since"][name]
        if counts["taken"] < wanted:
            value = f"{counts['taken']:.0f} taken, {counts['refused']:.0f} refused"
            remedy = f"`journalctl -u alertmanager` says why; or a silence holds it, or {name} does not answer"
            faults.append(Row(f"VerifyTest to {receiver} by {name}", value, f"{wanted} taken", remedy))
    integrations = ", ".join(needs["prometheus"]["integrations"])
    if not faults and not seen["named"]:
        remedy = "Alertmanager 0.27 and later count by receiver"
        value = f"taken by some receiver's {integrations}, perhaps another's"
        faults.append(Row(f"VerifyTest to {receiver}", value, "taken", remedy, WARNING))
    yield from _fine(faults, "alert", f"Watchdog is there; {receiver} took VerifyTest by {integrations}")


def _door(seen: Facts | None, needs: Facts) -> Rows:
    if not needs["prometheus"]:
        return
    if not needs["door"] or seen is None:
        yield Row("door", "no door declared (proxy_state: absent)", level=SKIPPED)
        return
    if "fault" in seen:
        yield Row("door", f"no answer: {seen['fault']}", "an answer", "see `systemctl status proxy`")
        return
    faults = list(_certificate_rows("door", seen["certificate"], needs["thresholds"]))
    for path, answer in seen["paths"].items():
        if answer.get("status") != LOG_IN:
            shown = str(answer.get("status") or f"no answer: {answer['fault']}")
            remedy = "nothing may be seen without a login: see the role proxy"
            faults.append(Row(f"door {path} without a login", shown, str(LOG_IN), remedy))
    plain = seen["plain"]
    led = "status" in plain and plain["status"] in REDIRECTIONS and urlsplit(plain["location"]).scheme == "https"
    if "status" in plain and not led:
        faults.append(Row("door in clear", str(plain["status"]), "closed, or led to https", "close port 80"))
    clear = "leads to https" if led else "is closed"
    certificate = seen["certificate"]
    days = certificate_facts(certificate)["days_left"] if isinstance(certificate, str) else 0
    value = f"{LOG_IN} without a login, plain HTTP {clear}, certificate good for {days} days"
    yield from _fine(faults, "door", value)


def _certificates(seen: Facts, needs: Facts) -> Rows:
    faults: list[Row] = []
    left = {}
    for name, pem in seen["files"].items():
        faults += _certificate_rows(f"{name}.crt", pem, needs["thresholds"])
        left[name] = _days_left(pem)
    own = "".join(seen["files"]["server"].split())
    for where, presented in seen["listeners"].items():
        if not isinstance(presented, str):
            remedy = "see whether it runs, and whether the certificate is of the site's authority"
            faults.append(Row(f"handshake with {where}", presented["fault"], "the host's certificate", remedy))
        elif not own.startswith("".join(presented.split())):
            remedy = "restart what listens there, or see who does"
            faults.append(Row(f"handshake with {where}", "another certificate", "that of server.crt", remedy))
    days = ", ".join(f"{name} {count} days" for name, count in left.items())
    yield from _fine(
        faults, "certificates", f"{days}; presented by {len(seen['listeners'])} of {len(seen['listeners'])}"
    )


def _days_left(pem: str) -> int:
    try:
        return int(certificate_facts(pem)["days_left"])
    except AnsibleFilterError:
        return 0


def _certificate_rows(what: str, pem: object, thresholds: Facts) -> Rows:
    if not isinstance(pem, str):
        fault = pem["fault"] if isinstance(pem, Mapping) else "no answer"
        yield Row(f"handshake with {what}", fault, "a certificate of the site's", "see who listens there")
        return
    try:
        days = certificate_facts(pem)["days_left"]
    except AnsibleFilterError:
        yield Row(what, "is not there, or no certificate", "a certificate", AGAIN)
        return
    if days < thresholds["certificate_days_warning"]:
        level = ERROR if days < thresholds["certificate_days_critical"] else WARNING
        need = f"at least {thresholds['certificate_days_warning']}"
        yield Row(what, f"{days} days left", need, f"{AGAIN}; docs/runbooks/CertificateExpiring.md", level)


def _limits(seen: Facts, needs: Facts) -> Rows:
    faults: list[Row] = []
    unenforced: dict[str, None] = {}
    for unit, directives in needs["limits"].items():
        there, name = seen[unit], unit.removesuffix(".service")
        if not there["active"]:
            faults.append(Row(name, "does not run", "runs", f"`journalctl -u {unit}` says why; then {AGAIN}"))
        for directive, declared in directives.items():
            if directive not in FORMS or declared is None:
                continue
            wanted = limit_number(directive, declared)
            told = there["systemd"].get(directive)
            held = there["kernel"].get(directive, told)
            for who, is_ in (("systemd", told), ("the kernel", held)):
                if is_ != wanted:
                    remedy = f"{AGAIN}: somebody changed it, by a drop-in or `systemctl set-property`"
                    value = f"{_limit_text(is_)} for {who}"
                    faults.append(Row(f"{name} {directive}", value, _limit_text(wanted), remedy))
                    break
            if directive not in there["kernel"] and there["active"] and directive != "LimitNOFILE":
                unenforced[directive] = None
    if unenforced:
        what = f"{', '.join(unenforced)} in the kernel"
        accepted = "cgroup" in needs["accepted"]
        value = "not enforced: it has no such controllers here"
        remedy = "accepted (preflight_accepted: cgroup)" if accepted else "boot with cgroup v2 and its controllers"
        yield Row(what, value, "enforced", remedy, SKIPPED if accepted else ERROR)
    names = ", ".join(unit.removesuffix(".service") for unit in needs["limits"])
    yield from _fine(faults, "limits", f"as declared: {names}")


def _limit_text(value: float | None) -> str:
    return "none" if value is None else f"{value:g}" if value < 1e6 else f"{value:.0f}"


JUDGES: dict[str, Callable[[Any, Facts], Rows]] = {
    "targets": _targets,
    "rules": _rules,
    "contract": _contract,
    "alert": _alert,
    "certificates": _certificates,
    "limits": _limits,
    "retention": _retention,
    "scrapes": _scrapes,
    "sync": _sync,
}


# --- For readers


def verify_table(report: Mapping[str, Any]) -> list[str]:
    """The rows as lines whose columns line up, the worst last, where a terminal ends; remedies below what they mend."""
    columns = {"level": "level", "host": "host", "check": "check", "what": "", "value": "what is seen"}
    rows = [columns, *sorted(report["rows"], key=lambda row: -LEVELS.index(row["level"]))]
    widths = {
        key: max(len(row[key]) for row in rows if key not in ("value", "need")) for key in ("level", "host", "check")
    }
    lines = []
    for row in rows:
        cells = [row[key].ljust(widths[key]) for key in widths]
        said = row["value"] if row["what"] in (row["check"], "") else f"{row['what']}: {row['value']}"
        if row.get("need"):
            said += f" (need: {row['need']})"
        lines.append("  ".join([*cells, " ".join(said.split())]).rstrip())
        if row is not columns and row["level"] != OK and row["remedy"]:
            lines.append(f"    -> {row['remedy']}")
    return [*lines, ", ".join(f"{count} {level}" for level, count in report["counts"].items())]


def verify_json(report: Mapping[str, Any]) -> str:
    """The report for programs, without what is drawn."""
    return json.dumps({key: value for key, value in report.items() if key != "drawn"}, indent=2) + "\n"


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {function.__name__: function for function in (verify_checks, verify_json, verify_report, verify_table)}
