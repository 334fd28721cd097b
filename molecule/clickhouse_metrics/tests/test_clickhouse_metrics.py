"""clickhouse_metrics against the lab's stand-in: what it takes up without a restart, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from testinfra.host import Host

from tests.hosts import Play, address, page, series, unit

FILE = "/etc/clickhouse/config.d/prometheus.xml"
HTTP_PORT, OWN_PORT = 18123, 9363


def metrics(host: Host, port: int) -> dict[str, float]:
    return series(page(host, f"http://{address(host)}:{port}/metrics"))


def test_the_http_port_serves_gauges_and_counters_since_the_first_run(host: Host) -> None:
    shown = metrics(host, HTTP_PORT)
    assert {"ClickHouseMetrics_Query", "ClickHouseProfileEvents_Query", "ClickHouseAsyncMetrics_Uptime"} <= shown.keys()
    # It was started before the file was there, and never again.
    written = float(host.check_output("stat --format=%%Y %s", FILE))
    started = float(host.check_output('date +%s --date="$(systemctl show clickhouse -P ExecMainStartTimestamp)"'))
    assert started < written
    assert unit(host, "clickhouse", "NRestarts")["NRestarts"] == "0"


def test_who_may_listen_where_is_as_it_was(host: Host) -> None:
    text = host.file(FILE).content_string
    assert (host.file(FILE).user, host.file(FILE).mode) == ("root", 0o644)
    assert "listen_host" not in text
    assert "http_port" not in text


def test_a_port_of_their_own_is_opened_and_closed_without_a_restart(host: Host, play: Play, restored: None) -> None:  # noqa: ARG001
    process = unit(host, "clickhouse", "MainPID")
    shown = play("--check", "--diff", clickhouse_metrics_port=OWN_PORT)
    assert (shown.code, shown.changed) == (0, 1)
    assert "+        <port>9363</port>" in shown.output
    assert metrics(host, OWN_PORT) == {}
    run = play(clickhouse_metrics_port=OWN_PORT)
    assert (run.code, run.changed) == (0, 1), run.output
    assert "ClickHouseMetrics_Query" in metrics(host, OWN_PORT)
    assert metrics(host, HTTP_PORT) == {}
    gone = play(clickhouse_metrics_state="absent")
    assert (gone.code, gone.changed) == (0, 1), gone.output
    assert not host.file(FILE).exists
    assert unit(host, "clickhouse", "MainPID") == process


@pytest.fixture
def other(host: Host) -> Iterator[str]:
    """Somebody else's file."""
    path = "/etc/clickhouse/config.d/desk.xml"
    yield path
    host.check_output("rm --force %s", path)


@pytest.mark.parametrize(("section", "content"), [("prometheus", "<port>9363</port>"), ("http_handlers", "<rule/>")])
def test_what_another_file_says_about_it_is_refused_by_name(
    host: Host, play: Play, other: str, section: str, content: str
) -> None:
    host.check_output(f"echo '<clickhouse><{section}>{content}</{section}></clickhouse>' > {other}")
    before = host.check_output("stat --format=%%Y%%i %s", FILE)
    run = play()
    assert run.code != 0
    assert f"{other} has <{section}>" in run.reason
    assert host.check_output("stat --format=%%Y%%i %s", FILE) == before


def test_what_needs_a_restart_is_said_and_left_to_the_administrator(host: Host, play: Play, restored: None) -> None:  # noqa: ARG001
    assert play(clickhouse_metrics_state="absent").code == 0
    process = unit(host, "clickhouse", "MainPID")["MainPID"]
    host.check_output("kill -STOP %s", process)  # it does not look at its files now, as old versions never do
    run = play()
    assert run.code != 0
    assert "this ClickHouse has not taken it up" in run.reason
    assert "systemctl restart clickhouse.service" in run.reason
    assert unit(host, "clickhouse", "MainPID")["MainPID"] == process
    told = play(clickhouse_metrics_restart=True)
    assert (told.code, told.changed) == (0, 1), told.output
    assert unit(host, "clickhouse", "MainPID")["MainPID"] != process
    assert "ClickHouseMetrics_Query" in metrics(host, HTTP_PORT)
