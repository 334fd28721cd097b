"""The file for ClickHouse, read as the lab's ClickHouse reads it, and what it must not be mixed with."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.tds.monitoring.plugins.module_utils import clickhouse as subject

from lab.trading import clickhouse_config


def read(tmp_path: Path, text: str) -> clickhouse_config.Configuration:
    (tmp_path / "config.d").mkdir(exist_ok=True)
    (tmp_path / "config.d/prometheus.xml").write_text(text, encoding="utf-8")
    return clickhouse_config.read(tmp_path)


def test_without_a_port_of_their_own_the_metrics_are_on_the_http_port_at_once(tmp_path: Path) -> None:
    bare = read(tmp_path, "<clickhouse/>")
    found = read(tmp_path, subject.drop_in(8123, 8123))
    assert (found.metrics_on_http, found.port, found.path) == (True, None, "/metrics")
    assert found.http_handlers != bare.http_handlers  # else ClickHouse would not notice before its next start


def test_a_port_of_their_own_leaves_the_http_port_alone(tmp_path: Path) -> None:
    found = read(tmp_path, subject.drop_in(9363, 8123))
    assert (found.metrics_on_http, found.port, found.path, found.http_handlers) == (False, 9363, "/metrics", "")


HANDLERS = "<clickhouse><http_handlers><rule/></http_handlers></clickhouse>"


@pytest.mark.parametrize(
    ("name", "text", "port", "told"),
    [
        ("a.xml", "<clickhouse><prometheus/></clickhouse>", 8123, "a.xml has <prometheus> already"),
        ("a.xml", "<yandex><prometheus><port>1</port></prometheus></yandex>", 9363, "a.xml has <prometheus> already"),
        ("a.yaml", "logger: {}\nprometheus:\n  port: 1\n", 9363, "a.yaml has <prometheus> already"),
        ("a.xml", HANDLERS, 8123, "a.xml has <http_handlers>, so port 8123 answers what is said there"),
        ("a.xml", "<clickhouse><prometheus>", 8123, "a.xml is no well-formed XML"),
    ],
)
def test_what_another_file_says_about_it_is_refused(name: str, text: str, port: int, told: str) -> None:
    (found,) = subject.conflicts({name: text}, port, 8123)
    assert found.startswith(told)


@pytest.mark.parametrize(
    ("name", "text", "port"),
    [
        ("a.xml", "<clickhouse><!-- <prometheus/> --><logger/></clickhouse>", 8123),
        ("a.xml", "<clickhouse><x><prometheus/></x></clickhouse>", 8123),
        ("a.yml", "x:\n  prometheus: {}\n", 8123),
        ("a.xml", HANDLERS, 9363),
    ],
)
def test_other_settings_are_none_of_its_business(name: str, text: str, port: int) -> None:
    assert subject.conflicts({name: text}, port, 8123) == []
