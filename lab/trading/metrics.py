"""The metrics of the backend and of the trade engine, as roles/prometheus/vars/main/contract.yml lists them.

The process' own (memory, CPU, files, start) come with prometheus_client's default registry.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# One ends at each threshold that a rule compares with.
ORDER_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
RESULTS = ("filled", "rejected", "failed")
KINDS = ("redis", "risk")


class Backend:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.latency = Gauge("sync_latency_seconds", "How long the last completed sync took.", registry=registry)
        self.synced_at = Gauge("sync_last_success_timestamp_seconds", "When a sync was completed.", registry=registry)
        self.pending = Gauge("sync_pending_rows", "Rows that wait to be synced.", registry=registry)
        self.rows = Counter("sync_rows_total", "Rows that were synced.", registry=registry)
        self.errors = Counter("sync_errors_total", "Syncs that failed.", registry=registry)
        self.requests = Counter("http_requests_total", "Answered requests.", ["method", "code"], registry=registry)
        self.durations = Histogram(
            "http_request_duration_seconds", "How long answers took.", ["method"], registry=registry
        )
        for method in ("GET", "POST"):  # from 0 on: what appears with the first error has no rate before the second
            self.durations.labels(method)
            for code in ("200", "500"):
                self.requests.labels(method, code)


class Engine:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.signals = Counter("trade_signals_total", "Signals read from the stream.", registry=registry)
        self.age = Gauge("trade_signal_age_seconds", "Age of the oldest signal without a result.", registry=registry)
        self.orders = Counter("trade_orders_total", "Orders that came to an end.", ["result"], registry=registry)
        self.fills = Counter("trade_fills_total", "Fills, partial ones too.", registry=registry)
        self.latency = Histogram(
            "trade_order_latency_seconds", "From signal to result.", buckets=ORDER_BUCKETS, registry=registry
        )
        self.errors = Counter("trade_engine_errors_total", "Errors survived.", ["kind"], registry=registry)
        for result in RESULTS:
            self.orders.labels(result)
        for kind in KINDS:
            self.errors.labels(kind)
