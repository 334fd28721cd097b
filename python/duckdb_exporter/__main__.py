"""The standalone service: `python3 -m duckdb_exporter --config FILE --listen ADDRESS:PORT`."""

from __future__ import annotations

import argparse
import logging
import os
import platform
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector

from duckdb_exporter import __version__
from duckdb_exporter.config import Config, ConfigError, load
from duckdb_exporter.files import FileCollector
from duckdb_exporter.metrics import FILES
from duckdb_exporter.server import MetricsServer


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT; exit code 2 for a configuration that is refused."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    try:
        config = load(options.config)
        registry = registry_of(config)
    except (ConfigError, ValueError, ImportError) as error:
        print(f"duckdb_exporter: {error}", file=sys.stderr)
        return 2
    if options.check:
        return _tell_unreachable(config)
    signals = (signal.SIGTERM, signal.SIGINT)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # in all threads, which the server makes
    with MetricsServer(registry, *options.listen, tls=config.tls):
        signal.sigwait(signals)
    return 0


def registry_of(config: Config) -> CollectorRegistry:
    """All that the page shows.

    Raises:
        ValueError: a query is none.
        ImportError: a file is to be read, and there is no DuckDB for this Python.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    info = FILES[0]
    Gauge(info.name, info.help, info.labels, registry=registry).labels(__version__, platform.python_version()).set(1)
    registry.register(FileCollector(config.files, config.queries))
    return registry


def _tell_unreachable(config: Config) -> int:
    """Says which files the account may not look at, or not read. One that is not there yet is none of them."""
    code = 0
    for file in config.files:
        try:
            Path(file.path).stat()
            denied = file.read and not os.access(file.path, os.R_OK)
        except PermissionError:
            denied = True
        except OSError:
            continue
        if denied:
            code = 2
            what = "read" if file.read else "look at"
            print(
                f"duckdb_exporter: this account may not {what} {file.path}: give it a group that may", file=sys.stderr
            )
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("duckdb_exporter", description="Metrics of DuckDB files for Prometheus.")
    parser.add_argument("--version", action="version", version=f"duckdb_exporter {__version__}")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the configuration, JSON")
    parser.add_argument("--listen", type=_listen, default="127.0.0.1:9125", metavar="ADDRESS:PORT")
    parser.add_argument("--check", action="store_true", help="judge the configuration and end")
    return parser


def _listen(text: str) -> tuple[str, int]:
    address, _, port = text.rpartition(":")
    if not address or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not ADDRESS:PORT")
    return address.strip("[]"), int(port)


if __name__ == "__main__":
    sys.exit(main())
