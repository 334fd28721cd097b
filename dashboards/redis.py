"""The Redis servers, by what they are for."""

from __future__ import annotations

from functools import partial
from typing import Any

from dashboards.parts import (
    BYTES,
    BYTES_PER_SECOND,
    COUNT,
    EVENTS,
    OPERATIONS,
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

OF = 'service=~"$service", instance_name=~"$instance_name"'
NAME = "{{instance_name}}"
UNLIMITED = "no maxmemory is set"


each = partial(graph, every="redis")


def per_second(counter: str, legend: str = NAME, **options: Any) -> Query:
    return Query(f"rate({counter}{{{OF}}}[$__rate_interval])", legend, **options)


def now(metric: str, legend: str = NAME, **options: Any) -> Query:
    return Query(f"{metric}{{{OF}}}", legend, **options)


BOARD = Board(
    uid="redis",
    title="Redis",
    why="Trade state, instance state, signal stream and result stream: are they up, full, fast, and read in time?",
    variables=(
        Variable("service", "Service", "label_values(redis_up, service)"),
        Variable("instance_name", "Instance", 'label_values(redis_up{service=~"$service"}, instance_name)'),
    ),
    rows=(
        row(
            "",
            number(
                "Up",
                "Whether it answers its exporter.",
                COUNT,
                now("redis_up"),
                every="redis",
                states=UP,
                runbooks=("RedisDown",),
                width=8,
            ),
            number(
                "Memory of maxmemory",
                "How full it is.",
                RATIO,
                now("instance:redis_memory_used_bytes:max_ratio", may_be_empty=UNLIMITED),
                every="redis",
                limits=Limits(warning="redis_memory_ratio", critical=0.95),
                runbooks=("RedisMemoryHigh",),
                width=8,
            ),
            number(
                "Saved",
                "Whether the last snapshot to disk succeeded; if not, it may refuse writes.",
                COUNT,
                now("redis_rdb_last_bgsave_status"),
                every="redis",
                states=YES,
                runbooks=("RedisPersistenceFailing",),
                width=8,
            ),
            height=4,
        ),
        row(
            "",
            rows(
                "Instances",
                "What runs where.",
                COUNT,
                Query(
                    f"redis_instance_info{{{OF}}}"
                    f" * on (service, instance) group_left () redis_uptime_in_seconds{{{OF}}}"
                ),
                every="redis",
                columns=(
                    Column("instance_name", "Instance"),
                    Column("host", "Host", link="/d/hosts?var-host=${__value.text}&${__url_time_range}"),
                    Column("instance", "Address"),
                    Column("role", "Role"),
                    Column("redis_version", "Version"),
                    Column("maxmemory_policy", "When it is full"),
                    Column("Value", "Up for", SECONDS),
                ),
                width=16,
            ),
            states(
                "Up over time",
                "Each second.",
                COUNT,
                now("redis_up"),
                every="redis",
                states=UP,
                runbooks=("RedisDown", "ServiceFlapping"),
                width=8,
            ),
        ),
        row(
            "Traffic",
            each(
                "Commands",
                "Commands that it did, each second.",
                OPERATIONS,
                per_second("redis_commands_processed_total"),
            ),
            each(
                "Time of a command",
                "Mean time in the server, of the four slowest commands.",
                SECONDS,
                Query(
                    f"topk(4, rate(redis_commands_duration_seconds_total{{{OF}}}[$__rate_interval])"
                    f" / (rate(redis_commands_total{{{OF}}}[$__rate_interval]) > 0))",
                    NAME + " {{cmd}}",
                ),
            ),
            each(
                "Hits",
                "Share of reads that found their key.",
                RATIO,
                Query(
                    f"rate(redis_keyspace_hits_total{{{OF}}}[$__rate_interval])"
                    f" / (rate(redis_keyspace_hits_total{{{OF}}}[$__rate_interval])"
                    f" + rate(redis_keyspace_misses_total{{{OF}}}[$__rate_interval]) > 0)",
                    NAME,
                    may_be_empty="nobody reads keys: streams are not counted",
                ),
                most=1,
            ),
        ),
        row(
            "",
            each(
                "Network in",
                "Bytes that it received each second.",
                BYTES_PER_SECOND,
                per_second("redis_net_input_bytes_total"),
            ),
            each(
                "Network out",
                "Bytes that it sent each second.",
                BYTES_PER_SECOND,
                per_second("redis_net_output_bytes_total"),
            ),
            each(
                "CPU",
                "CPU time of all its threads; it does commands in one, so 100 % is the end.",
                RATIO,
                Query(
                    f"rate(redis_cpu_user_seconds_total{{{OF}}}[$__rate_interval])"
                    f" + rate(redis_cpu_sys_seconds_total{{{OF}}}[$__rate_interval])",
                    NAME,
                ),
                limits=Limits(warning=0.8, critical=0.95),
            ),
        ),
        row(
            "Streams",
            each(
                "Length",
                "Entries in a stream.",
                COUNT,
                now("redis_stream_length", NAME + " {{stream}}"),
                runbooks=("RedisStreamLag",),
            ),
            each(
                "Not read yet",
                "Entries that a group of readers has not read.",
                COUNT,
                now("redis_stream_group_lag", "{{stream}}: {{group}}"),
                limits=Limits(warning="redis_stream_lag_entries"),
                runbooks=("RedisStreamLag",),
            ),
            each(
                "Read and not done",
                "Entries that a group has read and not acknowledged.",
                COUNT,
                now("redis_stream_group_messages_pending", "{{stream}}: {{group}}"),
                limits=Limits(warning="redis_stream_lag_entries"),
                runbooks=("RedisStreamLag",),
            ),
        ),
        row(
            "Memory and keys",
            each(
                "Memory",
                "What Redis counts against maxmemory, and that limit where one is set.",
                BYTES,
                now("redis_memory_used_bytes"),
                Query(f"redis_memory_max_bytes{{{OF}}} > 0", NAME + ": maxmemory", limit=True, may_be_empty=UNLIMITED),
                runbooks=("RedisMemoryHigh",),
            ),
            each(
                "Resident memory",
                "What the kernel has given it; much more than what it uses is fragmentation.",
                BYTES,
                now("redis_memory_used_rss_bytes"),
            ),
            each(
                "Fragmentation",
                "Resident by used memory. Of small servers it says little.",
                COUNT,
                now("redis_mem_fragmentation_ratio"),
            ),
            each(
                "Keys", "Keys in all databases.", COUNT, Query(f"sum by (instance_name) (redis_db_keys{{{OF}}})", NAME)
            ),
        ),
        row(
            "",
            each(
                "Evicted keys",
                "Keys that were thrown away to make room, each second: none is right.",
                EVENTS,
                per_second("redis_evicted_keys_total"),
                limits=Limits(critical=0.001),
                runbooks=("RedisEvicting",),
            ),
            each(
                "Expired keys", "Keys whose time was over, each second.", EVENTS, per_second("redis_expired_keys_total")
            ),
            each(
                "Changes that are not saved",
                "Writes since the last snapshot.",
                COUNT,
                now("redis_rdb_changes_since_last_save"),
                runbooks=("RedisPersistenceFailing",),
            ),
            each(
                "Age of the last snapshot",
                "How much would be lost without an append-only file.",
                SECONDS,
                Query(f"time() - redis_rdb_last_save_timestamp_seconds{{{OF}}}", NAME),
                runbooks=("RedisPersistenceFailing",),
            ),
        ),
        row(
            "Clients and replication",
            each(
                "Clients",
                "Connections, and the most that there can be.",
                COUNT,
                now("redis_connected_clients"),
                now("redis_config_maxclients", NAME + ": maxclients", limit=True),
                runbooks=("RedisRejectingConnections",),
            ),
            each(
                "Blocked clients",
                "Clients in a command that waits, such as XREAD BLOCK.",
                COUNT,
                now("redis_blocked_clients"),
            ),
            each(
                "Refused connections",
                "Clients that were turned away, each second.",
                EVENTS,
                per_second("redis_rejected_connections_total"),
                limits=Limits(critical=0.001),
                runbooks=("RedisRejectingConnections",),
            ),
            each(
                "Replicas",
                "Replicas of a master, and whether a replica has its master.",
                COUNT,
                now("redis_connected_slaves", NAME + ": replicas"),
                now("redis_master_link_up", NAME + ": has its master", may_be_empty="there are no replicas"),
                runbooks=("RedisReplicationBroken",),
            ),
        ),
        row(
            "Slowness and errors",
            each(
                "Errors",
                "Commands that failed or were rejected, each second.",
                EVENTS,
                Query(
                    f"sum by (instance_name) (rate(redis_commands_failed_calls_total{{{OF}}}[$__rate_interval])"
                    f" + rate(redis_commands_rejected_calls_total{{{OF}}}[$__rate_interval]))",
                    NAME,
                ),
            ),
            each("Slow commands", "Entries in the slow log.", COUNT, now("redis_slowlog_length")),
            each("Last slow command", "How long it took.", SECONDS, now("redis_last_slow_execution_duration_seconds")),
            each(
                "Last fork",
                "How long Redis stood still for its last snapshot or rewrite.",
                SECONDS,
                now("redis_latest_fork_seconds"),
                limits=Limits(warning=0.1),
            ),
        ),
        row(
            "Cluster",
            each(
                "State of the cluster",
                "What each node says of the whole.",
                COUNT,
                now("redis_cluster_state", NAME, may_be_empty="no Redis is a node of a cluster"),
                runbooks=("RedisClusterDegraded",),
            ),
            each(
                "Slots that fail",
                "Of 16384; keys in them are not served.",
                COUNT,
                now("redis_cluster_slots_fail", NAME, may_be_empty="no Redis is a node of a cluster"),
                limits=Limits(critical=1),
                runbooks=("RedisClusterDegraded",),
            ),
            each(
                "Exporter",
                "How long the exporter's look at it takes.",
                SECONDS,
                now("redis_exporter_last_scrape_duration_seconds"),
                to="monitoring",
            ),
        ),
    ),
)
