"""Two Alertmanagers as one: who is told of which alert, when, how often, and of which nobody is."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from testinfra.host import Host

from tests.canary import leaks
from tests.hosts import (
    CERTIFICATES,
    Play,
    address,
    eventually,
    exposure,
    installation,
    on,
    page,
    run_record,
    unit,
)
from tests.webhook import Told, notifications

PORT = 19093
BOTH = ("mon1", "app1")
RUN = f"{time.time():.0f}"
"""A label of every alert here: what an earlier run was told of is no news."""
BACKEND, OTHER = f"backend{RUN}", f"other{RUN}"
TOKEN = "token-4b1d7c2e"  # noqa: S105  the scenario's
AT_ONCE = 0.5
"""Seconds from an alert's arrival at Alertmanager to the webhook; it takes some ms, and the machine may be busy."""
INTERVAL = 2.7
"""Seconds after which an Alertmanager looks again at a critical alert."""


def url(name: str, path: str) -> str:
    return f"https://{address(on(name))}:{PORT}{path}"


def post(*alerts: dict[str, str], to: tuple[str, ...] = BOTH, ended: bool = False) -> float:
    """Tell Alertmanagers of alerts by their labels, as Prometheus does: each of them, of all. The time just before."""
    start, end = (
        (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
        for seconds in (-1 if ended else 0, 0 if ended else 3600)
    )
    body = json.dumps([{"labels": labels, "startsAt": start, "endsAt": end} for labels in alerts])
    urls = " ".join(url(name, "/api/v2/alerts") for name in to)
    tell = f"curl --silent --fail --parallel {CERTIFICATES} --json '{body}' {urls}"
    return float(on("mon1").check_output(f"date +%s.%N; {tell}"))


def told(since: float, path: str = "/alerts", **labels: str) -> list[Told]:
    return notifications(on("app1"), since, path, run=RUN, **labels)


def names(since: float, path: str = "/alerts") -> list[str]:
    return sorted({one.labels["alertname"] for one in told(since, path)})


def alert(name: str, severity: str, **labels: str) -> dict[str, str]:
    return {"alertname": name, "severity": severity, "run": RUN, **labels}


critical, warning = partial(alert, severity="critical"), partial(alert, severity="warning")


@pytest.fixture(autouse=True, scope="module")
def _one_cluster() -> None:
    for name in BOTH:
        assert eventually(lambda name=name: cluster(name) == ("ready", 2), 15), cluster(name)


def cluster(name: str) -> tuple[str, int]:
    shown = json.loads(page(on(name), url(name, "/api/v2/status")) or "{}").get("cluster", {})
    return shown.get("status", ""), len(shown.get("peers", []))


def test_critical_alerts_are_told_at_once_each_for_itself_and_once() -> None:
    first = post(critical("RedisDown", service="redis", instance_name="one"))
    second = post(critical("RedisDown", service="redis", instance_name="two"))
    for since, instance in ((first, "one"), (second, "two")):
        assert eventually(lambda instance=instance: told(first, instance_name=instance), 5)
        (one,) = told(first, instance_name=instance)
        assert one.at - since < AT_ONCE
        assert (one.status, one.authorization) == ("firing", f"Bearer {TOKEN}")
    ended = post(critical("RedisDown", service="redis", instance_name="one"), ended=True)
    assert eventually(lambda: told(first, instance_name="one", status="resolved"), 5)
    assert told(first, instance_name="one", status="resolved")[0].at - ended < INTERVAL + AT_ONCE
    time.sleep(INTERVAL + 1)  # the other one would have told it by now
    assert len(told(first, instance_name="one")) == 2
    assert len(told(first, instance_name="two")) == 1


def test_warnings_of_one_kind_are_told_together() -> None:
    since = post(warning("SlowSync", service=f"a{RUN}", instance_name="one"))
    post(warning("SlowSync", service=f"a{RUN}", instance_name="two"))
    assert eventually(lambda: told(since, alertname="SlowSync"), 6)
    one, two = told(since, alertname="SlowSync")
    assert one.notification == two.notification
    assert 2 <= one.at - since < 2 + AT_ONCE


def test_each_severity_and_each_route_has_its_receiver() -> None:
    since = post(alert("Info", "info"), critical("Routed"), alert("Unknown", ""))
    assert eventually(lambda: names(since, "/second") == ["Info", "Routed"], 6), names(since, "/second")
    assert eventually(lambda: names(since) == ["Unknown"], 6), names(since)


def test_a_dead_host_silences_its_services_and_nothing_else() -> None:
    since = post(critical("HostDown", host="h1", service="host", instance_name="h1"))
    post(
        critical("ServiceDown", host="h1", service="backend", instance_name="b"),
        critical("OnAnotherHost", host="h2", service=OTHER, instance_name="b2"),
        critical("OnNoHost", service="elsewhere", instance_name="e"),
        critical("HostDown", host="h3", service="host", instance_name="h3"),
    )
    assert eventually(lambda: len(told(since)) == 4, 5), told(since)
    time.sleep(1)
    assert names(since) == ["HostDown", "OnAnotherHost", "OnNoHost"]
    # When the host is back, what is still wrong is told.
    post(critical("HostDown", host="h1", service="host", instance_name="h1"), ended=True)
    assert eventually(lambda: told(since, alertname="ServiceDown"), 5)


def test_an_alert_without_host_or_name_is_silenced_by_no_other_without() -> None:
    since = post(critical("HostDown"), critical("Nameless", service="s"), critical("Lonely"))
    post(critical("AlsoWithoutHost"), warning("NamelessToo", service="s"), warning("LonelyToo"))
    wanted = ["AlsoWithoutHost", "HostDown", "Lonely", "LonelyToo", "Nameless", "NamelessToo"]
    assert eventually(lambda: names(since) == wanted, 6), names(since)


def test_critical_silences_warnings_of_the_same_thing() -> None:
    since = post(critical("SyncStalled", service=BACKEND, instance_name="b1"))
    post(
        warning("SlowSync", service=BACKEND, instance_name="b1"),
        warning("SlowSync", service=BACKEND, instance_name="b2"),
        warning("SlowSync", service=OTHER, instance_name="b1"),
    )
    assert eventually(lambda: len(told(since, alertname="SlowSync")) == 2, 6)
    time.sleep(1)
    heard = {(one.labels["service"], one.labels["instance_name"]) for one in told(since, alertname="SlowSync")}
    assert heard == {(BACKEND, "b2"), (OTHER, "b1")}


def test_the_heartbeat_goes_to_its_webhook_and_to_nobody_else() -> None:
    since = post(critical("Watchdog"))
    assert eventually(lambda: len(told(since, "/heartbeat")) >= 4, 20)
    beats = [one.at for one in told(since, "/heartbeat")]
    assert beats[0] - since < AT_ONCE
    gaps = [later - earlier for earlier, later in pairwise(beats)]
    assert 2.5 < min(gaps) <= max(gaps) < 4 + AT_ONCE, gaps
    assert "Watchdog" not in names(since) + names(since, "/second")


def test_what_means_something_in_trading_hours_only_is_not_told_outside() -> None:
    since = post(critical("OnlyWhileTrading"), warning("OnlyWhileTrading"), critical("Always"))
    assert eventually(lambda: names(since) == ["Always"], 5)
    time.sleep(3)
    assert names(since) == ["Always"]


@pytest.fixture(params=BOTH)
def hung(request: pytest.FixtureRequest) -> Iterator[str]:
    host = on(request.param)
    host.check_output("systemctl kill --signal=STOP alertmanager")
    yield request.param
    host.check_output("systemctl kill --signal=CONT alertmanager")


def test_one_that_hangs_delays_nobody(hung: str) -> None:
    (well,) = set(BOTH) - {hung}
    since = post(critical("WhileOneHangs", instance_name=hung), to=(well,))
    assert eventually(lambda: told(since, instance_name=hung), 20)
    assert told(since, instance_name=hung)[0].at - since < 0.6 + AT_ONCE


# --- changes


def test_another_receiver_is_in_force_without_a_restart(play: Play, restored: None) -> None:  # noqa: ARG001
    before = {name: unit(on(name), "alertmanager", "InvocationID", "MainPID") for name in BOTH}
    run = play("--tags", "alertmanager", "--diff", "-vvv", alertmanager_severities={"critical": {"receiver": "second"}})
    assert (run.code, run.changed) == (0, 2), run.reason
    assert {name: unit(on(name), "alertmanager", "InvocationID", "MainPID") for name in BOTH} == before
    last = run_record(on("mon1"))[-1]
    assert (last["action"], last["why"]) == ("reload", ["etc/alertmanager.yml changed"])
    since = post(critical("ToTheSecond"))
    assert eventually(lambda: names(since, "/second") == ["ToTheSecond"], 5)
    kept = ["/opt/tds/alertmanager/generations/*/etc/secrets/*"]
    assert leaks(on("mon1"), [TOKEN], allowed=kept, output=run.output) == []
    assert TOKEN in on("mon1").check_output("cat /etc/alertmanager/secrets/token")


DESK: dict[str, Any] = {"name": "desk", "webhook_configs": [{"url_file": "secrets/desk"}]}


TEMPLATE = '{% raw %}{{ define "mine" }}{{ range .Alerts.Resolved }}{{ .NoSuch }}{{ end }}{{ end }}{% endraw %}'


def also(**configs: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "alertmanager_receivers": [
            DESK | configs,
            {"name": "second", "webhook_configs": [{"url_file": "secrets/desk"}]},
        ]
    }


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        # what amtool finds
        (
            also(email_configs=[{"to": "desk@example.com"}]),
            ["no global SMTP smarthost set", "Mend: alertmanager_receivers"],
        ),
        (
            {"alertmanager_routes": [{"matchers": ['severity=~"critical|warning"'], "receiver": "second"}]},
            ["Expected receivers did not match resolved receivers", "alertmanager_route_tests.critical"],
        ),
        (
            {"alertmanager_templates": {"mine": TEMPLATE}},
            ["can't evaluate field NoSuch in type template.Alert", "Mend: alertmanager_templates.mine"],
        ),
    ],
    ids=["receiver", "route", "template"],
)
def test_what_amtool_refuses_changes_nothing(play: Play, variables: dict[str, Any], words: list[str]) -> None:
    before = installation(on("mon1"), "alertmanager")
    run = play("--tags", "alertmanager", "--limit", "mon1", **variables)
    assert (run.code != 0, run.changed) == (True, 0), run.output
    for word in words:
        assert word in run.output
    assert installation(on("mon1"), "alertmanager") == before


def test_a_secret_in_a_receiver_is_refused_before_any_host_is_touched(play: Play) -> None:
    run = play(**also(slack_configs=[{"api_url": "https://hooks.example/T0/B0/canary"}]))
    assert (run.code != 0, run.changed) == (True, 0), run.output
    assert "alertmanager_receivers[0].slack_configs[0].api_url is a secret" in run.output
    assert "alertmanager_secrets.NAME, and write api_url_file: secrets/NAME" in run.output
    assert "canary" not in run.output
    assert "; nothing was changed" in run.output


def test_it_is_limited_and_sandboxed_and_only_clients_of_the_site_are_served(host: Host) -> None:
    shown = unit(host, "alertmanager", "MemoryMax", "TasksMax", "CPUQuotaPerSecUSec")
    assert shown == {"MemoryMax": str(96 << 20), "TasksMax": "48", "CPUQuotaPerSecUSec": "300ms"}
    assert exposure(host, "alertmanager") <= 1.1
    assert page(host, url("app1", "/-/ready"))
    assert host.run("curl --silent --fail --cacert /etc/tds/tls/ca.crt %s", url("app1", "/-/ready")).rc != 0
    # The others of the cluster are spoken to by TLS, and by nothing else.
    gossip = f"{address(on('app1'))}:19094"
    ask = f"openssl s_client -connect {gossip} -CAfile /etc/tds/tls/ca.crt -verify_return_error"
    certificate = "-cert /etc/tds/tls/client.pem -key /etc/tds/tls/client.pem"
    assert "Verification: OK" in host.check_output(f"(sleep 1; echo) | {ask} {certificate}")
    assert "alert" in host.run(f"(sleep 1; echo) | {ask} 2>&1").stdout  # without a certificate
    assert host.check_output("ss --udp --listening --numeric --processes").count("alertmanager") == 0
