"""DuckDB, in the backend's process or as files."""

from __future__ import annotations

from functools import partial
from typing import Any

from dashboards.parts import (
    BYTES,
    COUNT,
    RATIO,
    SECONDS,
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

OF = 'instance_name=~"$instance_name"'
NAME = "{{instance_name}}"
NO_FILES = "duckdb_exporter_files names none"
NO_QUERIES = "the collector has no queries of its own"


each = partial(graph, every="duckdb")


def now(metric: str, legend: str = NAME, **options: Any) -> Query:
    return Query(f"{metric}{{{OF}}}", legend, **options)


BOARD = Board(
    uid="duckdb",
    title="DuckDB",
    why="How large it is, whether its log is checkpointed, and whether its queries fit into memory.",
    variables=(
        Variable(
            "instance_name",
            "Instance",
            'label_values({__name__=~"duckdb_collector_success|duckdb_file_success"}, instance_name)',
        ),
    ),
    rows=(
        row(
            "",
            number(
                "Measured",
                "Whether all that the collector asks was answered.",
                COUNT,
                now("duckdb_collector_success"),
                every="duckdb",
                states=YES,
                runbooks=("DuckDBNotMeasured",),
            ),
            number(
                "Log",
                "The write-ahead log that is not checkpointed yet.",
                BYTES,
                now("duckdb_wal_size_bytes", "{{database}}"),
                every="duckdb",
                limits=Limits(warning="duckdb_wal_bytes"),
                runbooks=("DuckDBWalNotCheckpointed",),
            ),
            number(
                "Spilled to disk",
                "What queries keep in temporary files, for it does not fit into memory.",
                BYTES,
                now("duckdb_temporary_storage_bytes"),
                every="duckdb",
                limits=Limits(warning="duckdb_spill_bytes"),
                runbooks=("DuckDBSpilling",),
            ),
            number(
                "Memory of its limit",
                "Of DuckDB's memory_limit.",
                RATIO,
                Query(
                    f"sum by (instance_name) (duckdb_memory_bytes{{{OF}}})"
                    f" / sum by (instance_name) (duckdb_memory_limit_bytes{{{OF}}})",
                    NAME,
                ),
                every="duckdb",
                limits=Limits(warning=0.8, critical=0.95),
                runbooks=("DuckDBSpilling",),
            ),
            height=4,
        ),
        row(
            "Size",
            each(
                "Databases",
                "Size of the file, and the blocks in it that are free to be used again.",
                BYTES,
                now("duckdb_database_size_bytes", "{{database}}"),
                now("duckdb_database_free_bytes", "{{database}}: free"),
                runbooks=("DuckDBGrowing",),
            ),
            each(
                "Growth in a day",
                "At the pace of the last hour.",
                BYTES,
                Query(f"deriv(duckdb_database_size_bytes{{{OF}}}[1h]) * 86400", "{{database}}"),
                limits=Limits(warning="duckdb_growth_bytes_per_day"),
                runbooks=("DuckDBGrowing",),
            ),
            each(
                "Log",
                "The write-ahead log; a checkpoint makes it 0.",
                BYTES,
                now("duckdb_wal_size_bytes", "{{database}}"),
                limits=Limits(warning="duckdb_wal_bytes"),
                runbooks=("DuckDBWalNotCheckpointed",),
            ),
            each(
                "Since the last checkpoint",
                "At most, as seen from the file.",
                SECONDS,
                Query(
                    f"time() - duckdb_last_checkpoint_timestamp_seconds{{{OF}}}",
                    "{{database}}",
                    may_be_empty="no checkpoint was seen since the collector began",
                ),
                runbooks=("DuckDBWalNotCheckpointed",),
            ),
        ),
        row(
            "Memory and use",
            each(
                "Memory by use",
                "What DuckDB counts, and its memory_limit.",
                BYTES,
                Query(
                    f"sum by (tag) (duckdb_memory_bytes{{{OF}}}) > 0",
                    "{{tag}}",
                    may_be_empty="DuckDB holds nothing in memory just then",
                ),
                now("duckdb_memory_limit_bytes", NAME + ": limit", limit=True),
                runbooks=("DuckDBSpilling",),
            ),
            each(
                "Spilled to disk",
                "Temporary files of queries.",
                BYTES,
                now("duckdb_temporary_storage_bytes"),
                limits=Limits(warning="duckdb_spill_bytes"),
                runbooks=("DuckDBSpilling",),
            ),
            each("Connections", "And cursors, the collector's own left out.", COUNT, now("duckdb_connections")),
        ),
        row(
            "Tables",
            bars(
                "Rows of the largest tables",
                "As DuckDB estimates them.",
                COUNT,
                Query(
                    f"topk(10, sum by (database, schema, table) (duckdb_table_rows{{{OF}}}))",
                    "{{database}}.{{schema}}.{{table}}",
                ),
                every="duckdb",
            ),
            each(
                "Rows over time",
                "Of the five largest tables.",
                COUNT,
                Query(f"topk(5, sum by (database, schema, table) (duckdb_table_rows{{{OF}}}))", "{{table}}"),
            ),
            each("Tables", "Temporary ones left out.", COUNT, now("duckdb_tables", "{{database}}")),
        ),
        row(
            "The collector",
            states(
                "Queries",
                "Whether each query of yours succeeded.",
                COUNT,
                now("duckdb_query_success", "{{query}}", may_be_empty=NO_QUERIES),
                every="duckdb",
                states=YES,
                runbooks=("DuckDBQueryFailing",),
            ),
            each(
                "Time of the queries",
                "Of yours, each; and of the longest of all.",
                SECONDS,
                now("duckdb_query_duration_seconds", "{{query}}", may_be_empty=NO_QUERIES),
                now("duckdb_collector_longest_query_seconds", NAME + ": longest"),
            ),
            each(
                "Time of a scrape",
                "What it costs the process that owns the database.",
                SECONDS,
                now("duckdb_collector_duration_seconds"),
            ),
            rows(
                "Versions",
                "Which DuckDB was asked.",
                COUNT,
                Query(f"duckdb_build_info{{{OF}}}"),
                every="duckdb",
                columns=(Column("instance_name", "Instance"), Column("host", "Host"), Column("version", "DuckDB")),
            ),
        ),
        row(
            "Files that somebody else writes",
            each(
                "Size",
                "Of the file.",
                BYTES,
                now("duckdb_file_size_bytes", "{{path}}", may_be_empty=NO_FILES),
                runbooks=("DuckDBGrowing",),
            ),
            each(
                "Log",
                "Beside the file.",
                BYTES,
                now("duckdb_file_wal_size_bytes", "{{path}}", may_be_empty=NO_FILES),
                limits=Limits(warning="duckdb_wal_bytes"),
                runbooks=("DuckDBWalNotCheckpointed",),
            ),
            each(
                "Since it was last written",
                "The file or its log.",
                SECONDS,
                Query(f"time() - duckdb_file_modified_timestamp_seconds{{{OF}}}", "{{path}}", may_be_empty=NO_FILES),
            ),
            states(
                "Could be looked at",
                "Over time.",
                COUNT,
                now("duckdb_file_success", "{{path}}", may_be_empty=NO_FILES),
                every="duckdb",
                states=YES,
                runbooks=("DuckDBNotMeasured",),
            ),
        ),
    ),
)
