"""Metrics of DuckDB for Prometheus, from the process that owns the database or of files that nobody writes."""

from duckdb_exporter.collector import DuckDBCollector
from duckdb_exporter.queries import Query, QueryError
from duckdb_exporter.server import TLS, MetricsServer, serve

__all__ = ["TLS", "DuckDBCollector", "MetricsServer", "Query", "QueryError", "__version__", "serve"]
__version__ = "0.1.0"
