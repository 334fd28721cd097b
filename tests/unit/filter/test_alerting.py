"""Alertmanager's configuration from data, and every mistake that amtool does not see."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.tds.monitoring.plugins.filter.alerting import (
    alerting_checks,
    alerting_config,
    alerting_findings,
    alerting_test,
    config_hash,
)

DESK = {"name": "desk", "webhook_configs": [{"url": "http://backend:8000/alerts"}]}
DECLARED: dict[str, Any] = {
    "global": {},
    "receivers": [DESK, {"name": "mail", "email_configs": [{"to": "desk@example.com"}]}],
    "secrets": ["slack"],
    "severities": {"critical": {"group_by": ["..."]}, "warning": {"receiver": "mail"}, "info": {}},
    "heartbeat": {"url": "http://backend:8000/heartbeat"},
    "heartbeat_interval": "15s",
    "test_receiver": "",
    "routes": [],
    "route_tests": {},
    "inhibit_rules": [],
    "time_intervals": [],
    "trading_hours": [],
    "trading_hours_alerts": [],
    "templates": {},
    "labels": ["alertname", "severity"],
}


def declared(**changes: Any) -> dict[str, Any]:
    return DECLARED | changes


def receiver(**configs: Any) -> dict[str, Any]:
    return declared(receivers=[{"name": "desk"} | configs], severities={key: {} for key in DECLARED["severities"]})


def test_a_good_declaration_has_no_findings() -> None:
    assert alerting_findings(DECLARED) == []


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (declared(receivers=[]), "alertmanager_receivers is missing or empty: write one with a name"),
        (declared(receivers="desk"), "alertmanager_receivers is missing or empty"),
        (declared(receivers=[{"webhook_configs": []}]), "alertmanager_receivers[0] has no name"),
        (declared(receivers=[DESK, {"name": "void"}]), "alertmanager_receivers[1] (void) sends to nobody"),
        (declared(receivers=[DESK | {"name": "heartbeat"}]), "'heartbeat', which the role uses itself"),
        (declared(severities={"info": {"receiver": "pager"}}), "severities.info.receiver is 'pager': alertmanager_rec"),
        (declared(severities={"info": "pager"}), "alertmanager_severities.info is 'pager': write a mapping"),
        (
            receiver(webhook_configs=[{"url": "http://a", "http_config": {"proxy_url": "http://me:canary@proxy"}}]),
            "http_config.proxy_url has a password in it",
        ),
        (receiver(webhook_configs=[{"url_file": "secret/slack"}]), "url_file is 'secret/slack', where Alertmanager"),
        (declared(trading_hours_alerts=["Slow|.*"]), "alertmanager_trading_hours_alerts has 'Slow|.*'"),
        (declared(peers=["192.0.2.1:9094"], cluster_address="mon1"), "alertmanager_cluster_address is 'mon1': "),
        (declared(templates={"t": "{{ .CommonLabels.hots }}"}), "alertmanager_templates.t uses the label 'hots'"),
        (
            receiver(slack_configs=[{"api_url_file": "secrets/slack", "title": "{{ .GroupLabels.hots }}"}]),
            "alertmanager_receivers[0].slack_configs[0].title uses the label 'hots'",
        ),
        (
            receiver(slack_configs=[{"api_url_file": "secrets/slak"}]),
            "slack_configs[0].api_url_file is 'secrets/slak': alertmanager_secrets has no slak, it has slack",
        ),
    ],
)
def test_mistakes_are_told_with_variable_value_and_remedy(wrong: dict[str, Any], told: str) -> None:
    findings = alerting_findings(wrong)
    assert any(told in finding for finding in findings), findings
    with pytest.raises(AnsibleFilterError, match="alertmanager_"):
        alerting_config(wrong)


@pytest.mark.parametrize(
    ("wrong", "instead"),
    [
        (receiver(slack_configs=[{"api_url": "https://hooks.example/canary"}]), "api_url_file"),
        (receiver(webhook_configs=[{"url": "https://backend/alerts?token=canary"}]), "url_file"),
        (receiver(webhook_configs=[{"url": "https://desk:canary@backend/alerts"}]), "url_file"),
        (receiver(pagerduty_configs=[{"routing_key": "canary"}]), "routing_key_file"),
        (receiver(email_configs=[{"to": "a@example.com", "auth_password": "canary"}]), "auth_password_file"),
        (receiver(webhook_configs=[{"url_file": "/a", "http_config": {"basic_auth": {"password": "canary"}}}]),
         "password_file"),
        (receiver(webhook_configs=[{"url_file": "/a", "http_config": {"bearer_token": "canary"}}]),
         "authorization.credentials_file"),
        (receiver(webhook_configs=[{"url_file": "/a",
                                    "http_config": {"http_headers": {"X-Key": {"secrets": ["canary"]}}}}]), "files"),
        (declared(**{"global": {"smtp_auth_password": "canary"}}), "smtp_auth_password_file"),
        (declared(heartbeat={"url": "https://hc.example/ping?key=canary"}), "url_file"),
        (receiver(webhook_configs=[{"url_file": "/a", "http_config": {"tls_config": {"key": "canary"}}}]), "key_file"),
    ],
)  # fmt: skip
def test_a_secret_in_the_configuration_is_refused_without_being_told(wrong: dict[str, Any], instead: str) -> None:
    (finding,) = alerting_findings(wrong)
    assert f"and write {instead}: secrets/NAME" in finding
    assert "canary" not in finding


@pytest.mark.parametrize(
    "good",
    [
        receiver(victorops_configs=[{"routing_key": "team"}]),  # no secret there
        receiver(slack_configs=[{"api_url": "https://slack.com/api/chat.postMessage"}]),
        receiver(opsgenie_configs=[{"api_url": "https://api.eu.opsgenie.com/"}]),
        receiver(webhook_configs=[{"url_file": "/etc/another/secret"}]),
    ],
)
def test_what_is_no_secret_is_let_be(good: dict[str, Any]) -> None:
    assert alerting_findings(good) == []


def routes(**changes: Any) -> list[dict[str, Any]]:
    return list(alerting_config(declared(**changes))["route"]["routes"])


def test_the_heartbeat_comes_first_then_the_sites_routes_then_the_severities() -> None:
    own = {"matchers": ['team="a"'], "receiver": "mail"}
    found = routes(routes=[own])
    assert [route["receiver"] for route in found] == ["heartbeat", "mail", "mail", "desk", "mail", "desk"]
    assert found[0]["matchers"] == ['alertname="Watchdog"']
    assert found[1]["matchers"] == ['alertname="VerifyTest"']
    assert found[2] == own


def test_a_test_alert_goes_where_warnings_go_or_where_it_is_said() -> None:
    assert alerting_test(DECLARED) == {"receiver": "mail", "integrations": {"email": 1}}
    changed = declared(test_receiver="desk", receivers=[DESK | {"webhook_configs": [{}, {}], "email_configs": []}])
    assert alerting_test(changed) == {"receiver": "desk", "integrations": {"webhook": 2}}
    assert routes(test_receiver="desk")[1]["receiver"] == "desk"
    assert alerting_findings(declared(test_receiver="nobody")) == [
        "alertmanager_test_receiver is 'nobody': alertmanager_receivers has desk, mail"
    ]


def test_an_alert_of_no_known_severity_goes_where_warnings_go() -> None:
    assert alerting_config(DECLARED)["route"]["receiver"] == "mail"


def test_without_a_heartbeat_nobody_is_told_of_it() -> None:
    config = alerting_config(declared(heartbeat={}))
    assert config["route"]["routes"][0]["receiver"] == "nobody"
    assert {"name": "nobody"} in config["receivers"]


def test_alerts_of_trading_hours_wait_for_them_in_every_severity() -> None:
    hours = [{"weekdays": ["monday:friday"]}]
    changes = {"trading_hours": hours, "trading_hours_alerts": ["SlowSync", "SlowOrders"]}
    assert alerting_config(declared(**changes))["time_intervals"] == [
        {"name": "trading_hours", "time_intervals": hours}
    ]
    muted = {"matchers": ['alertname=~"SlowSync|SlowOrders"'], "active_time_intervals": ["trading_hours"]}
    assert [route.get("routes") for route in routes(**changes)] == [None, None, [muted], [muted], [muted]]
    assert "time_intervals" not in alerting_config(declared(trading_hours_alerts=["SlowSync"]))


def test_files_of_secrets_are_named_absolutely() -> None:
    config = alerting_config(receiver(slack_configs=[{"api_url_file": "secrets/slack"}]))
    assert config["receivers"][0]["slack_configs"] == [{"api_url_file": "/etc/alertmanager/secrets/slack"}]


def commands(word: str, **changes: Any) -> list[list[str]]:
    checks = alerting_checks(declared(**changes), "amtool", ["a.json", "b.json"])
    return [check["command"] for check in checks if word in check["command"]]


def test_every_severity_is_tried_and_the_sites_tests_replace_the_shipped_ones() -> None:
    own = {"critical": {"receivers": ["desk", "mail"]}, "mine": {"labels": {"team": "a"}, "receivers": ["mail"]}}
    tried = {tuple(command[7:]): command[6] for command in commands("routes", route_tests=own)}
    assert tried == {
        ("alertname=AnyAlert", "severity=critical"): "--verify.receivers=desk,mail",
        ("alertname=AnyAlert", "severity=warning"): "--verify.receivers=mail",
        ("alertname=AnyAlert", "severity=info"): "--verify.receivers=desk",
        ("alertname=AnyAlert",): "--verify.receivers=mail",
        ("alertname=Watchdog", "severity=info"): "--verify.receivers=heartbeat",
        ("alertname=VerifyTest",): "--verify.receivers=mail",
        ("team=a",): "--verify.receivers=mail",
    }


def test_every_text_is_rendered_with_every_sample_and_a_part_through_the_whole() -> None:
    text = '{{ define "part" }}{{ .Name }}{{ end }}{{ define "whole" }}{{ template "part" . }}{{ end }}'
    slack = [{"name": "desk", "slack_configs": [{"api_url_file": "secrets/slack", "title": "{{ .Status }}"}]}]
    rendered = [command[-1] for command in commands("render", templates={"t": text}, receivers=slack)]
    whole, title = '--template.text={{ template "whole" . }}', "--template.text={{ .Status }}"
    assert rendered == [title, title, whole, whole]


def test_the_hash_is_the_one_that_alertmanager_shows() -> None:
    assert config_hash("global:\n  resolve_timeout: 10m\n") == 63657913343414  # as others have it from Alertmanager
