"""The monitoring itself: does it see all, in time, and how long will it keep it?"""

from __future__ import annotations

from functools import partial
from typing import Any

from dashboards.parts import (
    BYTES,
    COUNT,
    DAYS,
    EVENTS,
    RATIO,
    SECONDS,
    UP,
    YES,
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

OF = 'job="prometheus", host=~"$host"'
AM = 'job="alertmanager"'
JOB = 'job=~"$job"'
DAEMONS = 'job=~"prometheus|alertmanager|blackbox_exporter|node|redis_exporter|duckdb_exporter|grafana|proxy"'
HOST = "{{host}}"
DAEMON = "{{job}} {{host}}"
PROBES = 'job!~"host|probe"'
FIRST_BLOCK = "there is no forecast before the first compaction, half an hour after the first start"


each = partial(graph, every="own")


shown = partial(number, every="own")


def now(metric: str, legend: str = HOST, **options: Any) -> Query:
    return Query(f"{metric}{{{OF}}}", legend, **options)


def per_second(counter: str, legend: str = HOST) -> Query:
    return Query(f"rate({counter}{{{OF}}}[$__rate_interval])", legend)


TARGET = "max by (job, instance, host)"
"""Columns of a table come together only where all labels are the same, the name too."""
INTERVALS = "on (job) group_left () job:scrape_interval_seconds"

BOARD = Board(
    uid="monitoring",
    title="Monitoring itself",
    why="Does it scrape all, in time? How many days of data fit? Do its daemons stay within their envelope?",
    span="3h",
    refresh="30s",
    variables=(
        Variable("host", "Prometheus on", "label_values(prometheus_build_info, host)"),
        Variable("job", "Job", "label_values(up, job)"),
    ),
    rows=(
        row(
            "",
            shown(
                "Targets that are down",
                "Whatever they are.",
                COUNT,
                Query("count(up == 0) or vector(0)"),
                limits=Limits(critical=1),
                runbooks=("ExporterDown", "ServiceDown"),
            ),
            shown(
                "Samples",
                "That are stored each second.",
                EVENTS,
                Query(f"sum by (host) (rate(prometheus_tsdb_head_samples_appended_total{{{OF}}}[1m]))", HOST),
            ),
            shown(
                "Missed scrapes",
                "The target that is worst off, of the last 5 minutes.",
                RATIO,
                Query(f"clamp_min(1 - min(count_over_time(up[5m]) * {INTERVALS}) / 300, 0)"),
                limits=Limits(warning="scrapes_missed_ratio"),
                runbooks=("ScrapesMissed",),
            ),
            shown(
                "Slowest scrape",
                "Of its timeout; beyond it, it fails.",
                RATIO,
                Query(f"max(scrape_duration_seconds{{{PROBES}}} / scrape_timeout_seconds{{{PROBES}}})"),
                limits=Limits(warning="scrape_time_ratio", critical=1),
                runbooks=("ScrapeSlow",),
            ),
            shown(
                "Days that fit",
                "Of the days that are asked for, how many the size limit holds at the present rate.",
                RATIO,
                Query(
                    f"instance:prometheus_retention_seconds:rate1h{{{OF}}}"
                    f" / prometheus_tsdb_retention_limit_seconds{{{OF}}}",
                    HOST,
                    may_be_empty=FIRST_BLOCK,
                ),
                limits=Limits(warning=1, critical=0.5, falling=True),
                runbooks=("PrometheusRetentionShort",),
            ),
            shown(
                "Memory of GOMEMLIMIT",
                "Prometheus' live heap.",
                RATIO,
                Query(f"go_gc_heap_live_bytes{{{OF}}} / go_gc_gomemlimit_bytes{{{OF}}}", HOST),
                limits=Limits(warning="heap_ratio"),
                runbooks=("PrometheusMemoryHigh",),
            ),
            shown(
                "Configuration",
                "Whether the last one was taken.",
                COUNT,
                now("prometheus_config_last_reload_successful"),
                states=YES,
                runbooks=("PrometheusReloadFailed",),
            ),
            shown(
                "Failed deliveries",
                "Notifications of the last 5 minutes that were given up.",
                COUNT,
                Query(f"sum(increase(alertmanager_notifications_failed_total{{{AM}}}[5m]))"),
                limits=Limits(critical=1),
                runbooks=("AlertmanagerNotificationsFailing",),
                to="alerts",
            ),
            height=4,
        ),
        row(
            "Scrape efficiency",
            graph(
                "Duration of its interval",
                "The slowest scrape of each job: at 1 it cannot be made as often.",
                RATIO,
                Query(f"max by (job) (scrape_duration_seconds{{{JOB}}} / {INTERVALS})", "{{job}}"),
                limits=Limits(warning=0.5, critical=0.9),
                runbooks=("ScrapeSlow",),
            ),
            graph(
                "Missed scrapes",
                "Share of the last 5 minutes' that were not made, by job.",
                RATIO,
                Query(
                    f"clamp_min(1 - min by (job) (count_over_time(up{{{JOB}}}[5m]) * {INTERVALS}) / 300, 0)", "{{job}}"
                ),
                limits=Limits(warning="scrapes_missed_ratio"),
                runbooks=("ScrapesMissed",),
            ),
            graph(
                "Samples by job",
                "That scrapes bring each second.",
                EVENTS,
                Query(f"sum by (job) (scrape_samples_post_metric_relabeling{{{JOB}}} / {INTERVALS})", "{{job}}"),
                stacked=True,
            ),
        ),
        row(
            "",
            rows(
                "Scrapes, the slowest first",
                "Each target: how long its last scrape took of its timeout, how many samples, how large.",
                SECONDS,
                Query(f"sort_desc({TARGET} (scrape_duration_seconds{{{JOB}}}))"),
                Query(f"{TARGET} (scrape_duration_seconds{{{JOB}}} / scrape_timeout_seconds{{{JOB}}})"),
                Query(f"{TARGET} (scrape_samples_scraped{{{JOB}}})"),
                Query(f"{TARGET} (scrape_body_size_bytes{{{JOB}}})"),
                every="own",
                columns=(
                    Column("job", "Job"),
                    Column("instance", "Address"),
                    Column("host", "Host"),
                    Column("Value #A", "Took", SECONDS),
                    Column("Value #B", "Of its timeout", RATIO, limits=Limits(0.7, 0.9)),
                    Column("Value #C", "Samples", COUNT),
                    Column("Value #D", "Page", BYTES),
                ),
                runbooks=("ScrapeSlow", "ScrapeLimitHit"),
                width=16,
            ),
            states(
                "Jobs",
                "Whether all targets of a job answer.",
                COUNT,
                Query(f"min by (job) (up{{{JOB}}})", "{{job}}"),
                every="own",
                states=UP,
                width=8,
            ),
            height=9,
        ),
        row(
            "",
            each(
                "Time between scrapes",
                "99 of 100 are no further apart, by the interval that is declared.",
                SECONDS,
                Query(f'prometheus_target_interval_length_seconds{{{OF}, quantile="0.99"}}', HOST + " {{interval}}"),
                runbooks=("ScrapesMissed",),
            ),
            each(
                "Of the limit of samples",
                "The target of each job that is nearest to its sample_limit.",
                RATIO,
                Query(
                    f"max by (job) (scrape_samples_post_metric_relabeling{{{JOB}}}"
                    f" / (scrape_sample_limit{{{JOB}}} > 0))",
                    "{{job}}",
                ),
                limits=Limits(warning=0.8, critical=1),
                runbooks=("ScrapeLimitHit",),
            ),
            each(
                "Samples that were not taken",
                "Out of order, twice or too old, each second.",
                EVENTS,
                per_second("prometheus_target_scrapes_sample_out_of_order_total", HOST + " out of order"),
                per_second("prometheus_target_scrapes_sample_duplicate_timestamp_total", HOST + " twice"),
                per_second("prometheus_target_scrapes_sample_out_of_bounds_total", HOST + " too old"),
            ),
        ),
        row(
            "Storage",
            each(
                "Samples stored",
                "Each second.",
                EVENTS,
                Query(
                    f"sum by (host) (rate(prometheus_tsdb_head_samples_appended_total{{{OF}}}[$__rate_interval]))", HOST
                ),
            ),
            each("Series", "In memory.", COUNT, now("prometheus_tsdb_head_series")),
            each(
                "Days that fit",
                "Below the size limit at the present rate, and the days that are asked for.",
                DAYS,
                Query(f"instance:prometheus_retention_seconds:rate1h{{{OF}}} / 86400", HOST, may_be_empty=FIRST_BLOCK),
                Query(f"prometheus_tsdb_retention_limit_seconds{{{OF}}} / 86400", HOST + ": asked for", limit=True),
                runbooks=("PrometheusRetentionShort",),
            ),
            each(
                "Data on disk",
                "Blocks, log and chunks, and the size limit.",
                BYTES,
                now("prometheus_tsdb_storage_blocks_bytes", HOST + " blocks"),
                now("prometheus_tsdb_wal_storage_size_bytes", HOST + " log"),
                now("prometheus_tsdb_head_chunks_storage_size_bytes", HOST + " chunks"),
                now("prometheus_tsdb_retention_limit_bytes", HOST + ": limit", limit=True),
                to="hosts",
            ),
        ),
        row(
            "",
            each(
                "Bytes of a sample",
                "In blocks, on average since the start.",
                BYTES,
                Query(
                    f"prometheus_tsdb_compaction_chunk_size_bytes_sum{{{OF}}}"
                    f" / (prometheus_tsdb_compaction_chunk_samples_sum{{{OF}}} > 0)",
                    HOST,
                    may_be_empty=FIRST_BLOCK,
                ),
            ),
            each(
                "Oldest sample",
                "How far back one can look.",
                DAYS,
                Query(f"(time() - prometheus_tsdb_lowest_timestamp_seconds{{{OF}}}) / 86400", HOST),
            ),
            each(
                "Failures of the database",
                "In the last 30 minutes.",
                COUNT,
                Query(f"increase(prometheus_tsdb_compactions_failed_total{{{OF}}}[30m])", HOST + " compactions"),
                Query(f"increase(prometheus_tsdb_wal_writes_failed_total{{{OF}}}[30m])", HOST + " log"),
                Query(f"increase(prometheus_tsdb_reloads_failures_total{{{OF}}}[30m])", HOST + " blocks"),
                limits=Limits(critical=1),
                runbooks=("PrometheusTsdbFailing",),
            ),
            each(
                "Writing the log",
                "Time that 99 of 100 calls of fsync do not exceed.",
                SECONDS,
                Query(
                    f'prometheus_tsdb_wal_fsync_duration_seconds{{{OF}, quantile="0.99"}} >= 0',
                    HOST,
                    may_be_empty="the log is synced at each segment only, and none has ended of late",
                ),
            ),
        ),
        row(
            "Rules and queries",
            each(
                "Rules: time of its interval",
                "Of each group: at 1 evaluations are left out.",
                RATIO,
                Query(
                    f"topk(8, prometheus_rule_group_last_duration_seconds{{{OF}}}"
                    f" / prometheus_rule_group_interval_seconds{{{OF}}})",
                    HOST + " {{rule_group}}",
                ),
                limits=Limits(warning="rules_time_ratio", critical=1),
                runbooks=("PrometheusRuleEvaluationSlow",),
            ),
            each(
                "Rules: left out and failed",
                "In the last 5 minutes.",
                COUNT,
                Query(
                    f"sum by (host) (increase(prometheus_rule_group_iterations_missed_total{{{OF}}}[5m]))",
                    HOST + " left out",
                    "orange",
                ),
                Query(
                    f"sum by (host) (increase(prometheus_rule_evaluation_failures_total{{{OF}}}[5m]))",
                    HOST + " failed",
                    "red",
                ),
                runbooks=("PrometheusRuleEvaluationSlow", "PrometheusRuleFailing"),
            ),
            each(
                "Queries that run",
                "And how many may at a time.",
                COUNT,
                now("prometheus_engine_queries"),
                now("prometheus_engine_queries_concurrent_max", HOST + ": at most", limit=True),
            ),
            each(
                "Time of queries",
                "99 of 100 are not longer, by what for.",
                SECONDS,
                Query(
                    f'prometheus_engine_query_duration_seconds{{{OF}, quantile="0.99"}} >= 0',
                    HOST + " {{slice}}",
                    may_be_empty="nobody has asked of late, rules apart",
                ),
            ),
        ),
        row(
            "The way of an alert",
            each(
                "Sent to Alertmanager",
                "Alerts each second.",
                EVENTS,
                per_second("prometheus_notifications_sent_total", HOST + " to {{alertmanager}}"),
                runbooks=("PrometheusNotificationsFailing",),
            ),
            each(
                "Not sent",
                "Refused or dropped, each second.",
                EVENTS,
                per_second("prometheus_notifications_errors_total", HOST + " refused by {{alertmanager}}"),
                per_second("prometheus_notifications_dropped_total", HOST + " dropped"),
                limits=Limits(critical=0.001),
                runbooks=("PrometheusNotificationsFailing",),
            ),
            each(
                "Notifications",
                "That Alertmanager sends each second, by how.",
                EVENTS,
                Query(
                    f"sum by (integration) (rate(alertmanager_notifications_total{{{AM}}}[$__rate_interval]) > 0)",
                    "{{integration}}",
                    may_be_empty="nothing was to be told of late",
                ),
                to="alerts",
                runbooks=("AlertmanagerNotificationsFailing",),
            ),
            each(
                "Members of the cluster",
                "That each Alertmanager sees.",
                COUNT,
                Query(
                    f"alertmanager_cluster_members{{{AM}}}",
                    HOST,
                    may_be_empty="there is only one Alertmanager, which is in no cluster",
                ),
                runbooks=("AlertmanagerClusterDegraded",),
            ),
        ),
        row(
            "Envelope: what the daemons take",
            each("Memory", "Resident.", BYTES, Query(f"process_resident_memory_bytes{{{DAEMONS}}}", DAEMON)),
            each(
                "CPU",
                "CPUs in use.",
                COUNT,
                Query(f"rate(process_cpu_seconds_total{{{DAEMONS}}}[$__rate_interval])", DAEMON),
            ),
            each(
                "Prometheus: CPU of what it may use",
                "Of GOMAXPROCS.",
                RATIO,
                Query(
                    f"rate(process_cpu_seconds_total{{{OF}}}[$__rate_interval]) / go_sched_gomaxprocs_threads{{{OF}}}",
                    HOST,
                ),
                limits=Limits(warning=0.8, critical=0.95),
            ),
            each(
                "Prometheus: heap",
                "What is alive, and the limit from which on it collects garbage all the time.",
                BYTES,
                now("go_gc_heap_live_bytes", HOST + " alive"),
                now("process_resident_memory_bytes", HOST + " resident"),
                now("go_gc_gomemlimit_bytes", HOST + ": GOMEMLIMIT", limit=True),
                runbooks=("PrometheusMemoryHigh",),
            ),
        ),
        row(
            "Probes and certificates",
            states(
                "Ports",
                "Whether each lets Prometheus' host connect.",
                COUNT,
                Query(
                    'probe_success{job="probe"}',
                    "{{probed_service}} {{instance_name}}",
                    may_be_empty="no service is probed",
                ),
                every="probes",
                states=UP,
                runbooks=("ProbeFailed",),
                width=12,
            ),
            graph(
                "Certificates",
                "Days until each expires.",
                DAYS,
                Query(
                    "(probe_ssl_earliest_cert_expiry - time()) / 86400",
                    "{{probed_service}} {{instance_name}}",
                    may_be_empty="nothing that is probed speaks TLS",
                ),
                every="probes",
                limits=Limits("certificate_days_warning", "certificate_days_critical", falling=True),
                runbooks=("CertificateExpiring",),
                width=12,
            ),
            height=9,
        ),
    ),
)
