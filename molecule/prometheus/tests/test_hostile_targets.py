"""Targets that hang, lie or have no end: the limits hold, an alert names each, and the others do not feel it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from testinfra.host import Host

from tests.hosts import eventually, page, run_playbook, unit

testinfra_hosts = ["ansible://mon1"]

URL = "http://127.0.0.1:19090"
KINDS = ["hangs", "drips", "garbage", "endless", "millions", "bomb", "samples", "labels"]
"""What the server does, from port 18101 on."""
SERVER = """\
import gzip, http.server, sys, threading, time

MILLIONS = [b"".join(b'm{n="%d"} 1\\n' % n for n in range(k, k + 10_000)) for k in range(0, 2_000_000, 10_000)]
BOMB = gzip.compress(b"x 1\\n" * 50_000_000, compresslevel=1)  # 200 MB

def hangs(): time.sleep(30); yield b""
def drips(): return (time.sleep(0.05) or b"drip%d 1\\n" % n for n in range(1000))
def garbage(): yield b"<html>no {metrics here</html>\\n" * 1000
def endless(): return (b"# endless words\\n" * 4096 for _ in range(3200))  # 200 MB
def millions(): return MILLIONS
def bomb(): yield BOMB
def samples(): return [part.replace(b"m{", b"s{") for part in MILLIONS[:6]]
def labels(): yield b"l{" + b",".join(b'l%d="x"' % n for n in range(50)) + b"} 1\\n"

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        kind = sys.argv[1:][self.server.server_port - 18101]
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        if kind == "bomb":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        try:
            for part in globals()[kind]():
                self.wfile.write(part)
        except OSError:
            pass  # Prometheus has hung up, as it should

    def log_message(self, *_):
        pass

for n, _ in enumerate(sys.argv[1:]):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 18101 + n), Page)
    threading.Thread(target=server.serve_forever).start()
"""
SHIPPED = {
    "body_size_limit": "20MB",
    "sample_limit": 50000,
    "label_limit": 40,
    "label_name_length_limit": 128,
    "label_value_length_limit": 1024,
}
HOSTILE: dict[str, Any] = {
    "services": "{{ {'backend': backend, 'hostile': hostile} }}",
    "hostile": {
        "scrape_interval": "4s",  # so that a slow machine has time to send what is too much
        "instances": [
            {"name": kind, "host": "mon1", "target": f"localhost:{port}"} for port, kind in enumerate(KINDS, 18101)
        ],
    },
    "prometheus_scrape_limits": SHIPPED,
}
LIMITS = {
    "endless": "body_size_limit",
    "millions": "body_size_limit",
    "bomb": "body_size_limit",
    "samples": "sample_limit",
    "labels": "label_limit",
}
MEMORY = 400 << 20
"""What Prometheus may grow by. It was 190 MB here; without limits 2.3 GB, which is more than its unit may have."""


def ask(host: Host, path: str, **query: str) -> Any:
    answer = page(host, f"{URL}/api/v1/{path}?{urlencode(query)}")
    return json.loads(answer)["data"] if answer else {}


def instances(host: Host, expression: str) -> dict[str, float]:
    found = ask(host, "query", query=expression).get("result", [])
    return {entry["metric"].get("instance_name", ""): float(entry["value"][1]) for entry in found}


def memory(host: Host) -> int:
    process = unit(host, "prometheus", "MainPID")["MainPID"]
    return int(host.check_output(f"awk '/VmRSS/ {{print $2 * 1024}}' /proc/{process}/status"))


@pytest.fixture(scope="module")
def before(host: Host) -> Iterator[tuple[str, int]]:
    """Process and memory of Prometheus before it meets them."""
    host.check_output(f"cat >/srv/hostile.py <<'END'\n{SERVER}\nEND")
    host.check_output("systemd-run --quiet --unit=hostile python3 /srv/hostile.py " + " ".join(KINDS))
    calm = unit(host, "prometheus", "MainPID")["MainPID"], memory(host)
    run = run_playbook(**HOSTILE)
    assert run.code == 0, run.output
    yield calm
    host.check_output("systemctl stop hostile; rm /srv/hostile.py")
    assert run_playbook().code == 0
    assert eventually(lambda: not limits_hit(host), 20), limits_hit(host)  # who is no target any more is not spoken of


def limits_hit(host: Host) -> dict[str, str]:
    """Of alerts that fire or are about to."""
    labels = [alert["labels"] for alert in ask(host, "alerts").get("alerts", [])]
    return {found["instance_name"]: found["limit"] for found in labels if found["alertname"] == "ScrapeLimitHit"}


def test_each_of_them_is_down_and_named_with_the_limit_that_it_hit(host: Host, before: tuple[str, int]) -> None:  # noqa: ARG001
    assert eventually(lambda: len(instances(host, 'up{service="hostile"} == 0')) == len(KINDS), 10), instances(
        host, "up"
    )
    # The rules of the stack itself are evaluated every 15 s.
    assert eventually(lambda: limits_hit(host) == LIMITS, 20), limits_hit(host)


def test_prometheus_and_the_others_do_not_feel_it(host: Host, before: tuple[str, int]) -> None:
    process, calm = before
    assert page(host, f"{URL}/-/ready")
    assert unit(host, "prometheus", "MainPID")["MainPID"] == process
    assert memory(host) - calm < MEMORY
    assert instances(host, 'count_over_time(up{service="backend"}[10s])')["self"] >= 9
    assert instances(host, 'min_over_time(up{service="backend"}[10s])') == {"self": 1}
    assert ask(host, "query", query='count({service="hostile", __name__!~"up|scrape_.*|ALERTS.*"})')["result"] == []
