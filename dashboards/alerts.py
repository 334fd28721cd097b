"""Alerts: what fires, since when, what to do, and whether it reaches anybody."""

from __future__ import annotations

from dashboards.parts import (
    COUNT,
    EVENTS,
    RUNBOOKS,
    SECONDS,
    SEVERITIES,
    UP,
    WARNING,
    YES,
    Board,
    Column,
    Limits,
    Query,
    Variable,
    bars,
    graph,
    number,
    row,
    rows,
    states,
)  # fmt: skip

OF = 'severity=~"$severity", service=~"$service|"'
AM = 'job="alertmanager"'
BY = "sum by (host, integration)"
FIRING = f'ALERTS{{alertstate="firing", {OF}}}'
FIRING_NOT_WATCHDOG = f'ALERTS{{alertstate="firing", alertname!="Watchdog", {OF}}}'
LABELS = (
    Column("alertname", "Alert and runbook", link=f"{RUNBOOKS}/${{__value.text}}.md"),
    Column("severity", "Severity"),
    Column("service", "Service"),
    Column("instance_name", "Instance"),
    Column("host", "Host", link="/d/hosts?var-host=${__value.text}&${__url_time_range}"),
)
QUIET = "all is well"


def firing(severity: str) -> Query:
    return Query(f'count(ALERTS{{alertstate="firing", severity="{severity}"}}) or vector(0)')


BOARD = Board(
    uid="alerts",
    title="Alerts",
    why="What fires, since when, what to do, and whether it reaches anybody.",
    span="6h",
    variables=(
        Variable("severity", "Severity", "label_values(ALERTS, severity)"),
        Variable("service", "Service", "label_values(up, service)"),
    ),
    rows=(
        row(
            "",
            number("Critical", "Somebody must act now.", COUNT, firing("critical"), limits=Limits(critical=1)),
            number("Warning", "Today.", COUNT, firing("warning"), limits=Limits(warning=1)),
            number(
                "Information",
                "To know. Watchdog always fires: without it no alert would arrive.",
                COUNT,
                firing("info"),
                runbooks=("Watchdog",),
            ),
            number(
                "Pending",
                "Conditions that hold and not long enough yet.",
                COUNT,
                Query('count(ALERTS{alertstate="pending"}) or vector(0)'),
                limits=Limits(warning=1),
            ),
            number(
                "Silenced",
                "Alerts that Alertmanager has and tells nobody of.",
                COUNT,
                Query('max(alertmanager_alerts{state="suppressed"})'),
                every="own",
            ),
            number(
                "Not delivered",
                "Notifications that were given up in the last hour.",
                COUNT,
                Query("sum(increase(alertmanager_notifications_failed_total[1h]))"),
                every="own",
                limits=Limits(critical=1),
                runbooks=("AlertmanagerNotificationsFailing",),
                to="monitoring",
            ),
            height=4,
        ),
        row(
            "",
            rows(
                "Firing now",
                "And since when. The alert's name leads to its runbook.",
                SECONDS,
                Query(f"sort(time() - ALERTS_FOR_STATE{{{OF}}} and ignoring (alertstate) {FIRING})"),
                columns=(*LABELS, Column("Value", "For", SECONDS)),
                width=14,
            ),
            rows(
                "Pending",
                "What will fire if it stays so.",
                SECONDS,
                Query(
                    f'time() - ALERTS_FOR_STATE{{{OF}}} and ignoring (alertstate) ALERTS{{alertstate="pending", {OF}}}',
                    may_be_empty=QUIET,
                ),
                columns=(*LABELS[:4], Column("Value", "For", SECONDS)),
                width=10,
            ),
            height=9,
        ),
        row(
            "History",
            graph(
                "Firing by severity",
                "How many at a time.",
                COUNT,
                Query(f"count by (severity) ({FIRING})", "{{severity}}"),
                colours=SEVERITIES,
                stacked=True,
            ),
            bars(
                "How long each fired",
                "Within the time that is shown.",
                SECONDS,
                Query(
                    f"topk(12, sum_over_time((max by (alertname) ({FIRING_NOT_WATCHDOG}))[$__range:15s]) * 15)",
                    "{{alertname}}",
                    may_be_empty=QUIET,
                ),
            ),
            states(
                "Critical and warning alerts",
                "When each fired.",
                COUNT,
                Query(
                    f"max by (alertname, instance_name) ({FIRING_NOT_WATCHDOG})",
                    "{{alertname}} {{instance_name}}",
                    may_be_empty=QUIET,
                ),
                states={1: ("fires", WARNING)},
            ),
            height=9,
        ),
        row(
            "Their way",
            graph(
                "At Alertmanager",
                "Alerts that it has, by state.",
                COUNT,
                Query(f"sum by (host, state) (alertmanager_alerts{{{AM}}})", "{{host}} {{state}}"),
                every="own",
            ),
            graph(
                "Notifications",
                "Sent each second, by how.",
                EVENTS,
                Query(
                    f"{BY} (rate(alertmanager_notifications_total{{{AM}}}[$__rate_interval]) > 0)",
                    "{{host}} {{integration}}",
                    may_be_empty="nothing was to be told of late",
                ),
                every="own",
            ),
            graph(
                "Given up",
                "Notifications each second, by how and why.",
                EVENTS,
                Query(
                    f"sum by (host, integration, reason) (rate(alertmanager_notifications_failed_total{{{AM}}}"
                    "[$__rate_interval]) > 0)",
                    "{{host}} {{integration}} {{reason}}",
                    may_be_empty="all that was sent has arrived",
                ),
                every="own",
                runbooks=("AlertmanagerNotificationsFailing",),
            ),
            graph(
                "Time of a delivery",
                "On average.",
                SECONDS,
                Query(
                    f"{BY} (rate(alertmanager_notification_latency_seconds_sum{{{AM}}}[5m]))"
                    f" / {BY} (rate(alertmanager_notification_latency_seconds_count{{{AM}}}[5m]) > 0)",
                    "{{host}} {{integration}}",
                    may_be_empty="nothing was to be told of late",
                ),
                every="own",
            ),
        ),
        row(
            "Who would tell",
            states(
                "Prometheus and Alertmanager",
                "Whether they answer.",
                COUNT,
                Query('up{job=~"prometheus|alertmanager"}', "{{job}} {{host}}"),
                every="own",
                states=UP,
                runbooks=("ExporterDown",),
                to="monitoring",
            ),
            number(
                "Alertmanager's configuration",
                "Whether the last one was taken.",
                COUNT,
                Query(f"alertmanager_config_last_reload_successful{{{AM}}}", "{{host}}"),
                every="own",
                states=YES,
                runbooks=("AlertmanagerReloadFailed", "AlertmanagerClusterDegraded"),
            ),
            graph(
                "Critical rules: time of their interval",
                "At 1 alerts come late.",
                "percentunit",
                Query(
                    'prometheus_rule_group_last_duration_seconds{rule_group=~".*critical|.*each-second"}'
                    ' / prometheus_rule_group_interval_seconds{rule_group=~".*critical|.*each-second"}',
                    "{{host}} {{rule_group}}",
                ),
                every="own",
                limits=Limits(warning="rules_time_ratio", critical=1),
                runbooks=("PrometheusRuleEvaluationSlow",),
            ),
            graph(
                "Queue to Alertmanager",
                "Share that is full.",
                "percentunit",
                Query("prometheus_notifications_queue_length / prometheus_notifications_queue_capacity", "{{host}}"),
                every="own",
                limits=Limits(critical="notifications_failing_ratio"),
                runbooks=("PrometheusNotificationsFailing",),
            ),
        ),
    ),
)
