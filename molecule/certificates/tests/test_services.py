"""The user's own services over TLS: with what the catalogue says, they are up; with anything less they would not be."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from testinfra.host import Host

from tests.authority import Authority
from tests.canary import leaks
from tests.hosts import Play, address, eventually, on, page

PASSWORD = "correct horse battery staple"  # noqa: S105  it is the test's
# Of that password, by bcrypt with cost 4.
HASH = "$2b$04$abcdefghijklmnopqrstuu7EJV7kdjBBQxyb0HjTh9KS7.Lah/6CG"
TOKEN = "token-6f1e0c5b"  # noqa: S105

ANOTHER = {
    "trade_engine": {"bearer_token": "another"},
    "desk": {"basic_auth": {"username": "desk", "password": "another"}},
}

# Serves a metric over TLS under a name of its own to whoever has the token: stands for an application of the user.
APPLICATION = f"""
import http.server, ssl
class Application(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        good = self.headers.get("Authorization") == "Bearer {TOKEN}"
        self.send_response(200 if good else 401)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(b"application_works 1\\n" if good else b"")
server = http.server.ThreadingHTTPServer(("", 19001), Application)
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain("/srv/application.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
# Demands a client certificate of the site and a password: a real node_exporter.
WEB = f"""
tls_server_config:
  cert_file: /etc/tds/tls/server.pem
  key_file: /etc/tds/tls/server.pem
  client_ca_file: /etc/tds/tls/ca.crt
  client_auth_type: RequireAndVerifyClientCert
basic_auth_users: {{desk: {HASH}}}
"""


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("Of the trade engine")


@pytest.fixture(scope="module")
def app1(authority: Authority) -> Host:
    host = on("app1")
    certificate, key = authority.issue(["trade-engine.internal"], ["server"])
    for path, text in {"application.pem": certificate + key, "application.py": APPLICATION, "web.yml": WEB}.items():
        host.check_output("printf %%s %s > /srv/%s", text, path)
    host.check_output("systemd-run --unit=application python3 /srv/application.py")
    exporter = "/opt/tds/node_exporter/current/release/node_exporter --web.listen-address=:19002"
    host.check_output(f"systemd-run --unit=desk {exporter} --web.config.file=/srv/web.yml")
    return host  # the scenario's last tests: nobody needs its own declaration again


def services(app1: Host, authority: Authority, **others: dict[str, Any]) -> dict[str, Any]:
    """As the applications want them; of each service what is to be otherwise."""
    where = address(app1)
    right: dict[str, Any] = {
        "trade-engine": {
            "scrape_interval": "1s", "scheme": "https", "bearer_token": TOKEN,
            "tls": {"ca": authority.pem, "server_name": "trade-engine.internal"},
            "instances": [{"name": "engine", "host": "app1", "target": f"{where}:19001"}],
        },
        "desk": {
            "scrape_interval": "1s", "scheme": "https", "basic_auth": {"username": "desk", "password": PASSWORD},
            "tls": {"ca": "site", "client_certificate": True},
            "instances": [{"name": "desk", "host": "app1", "target": f"{where}:19002"}],
        },
    }  # fmt: skip
    return {name: service | others.get(name.replace("-", "_"), {}) for name, service in right.items()}


def state(service: str) -> tuple[str, str]:
    """Whether Prometheus has its target up, and its words on why not."""
    answer = page(on("mon1"), f"https://127.0.0.1:9090/api/v1/targets?{urlencode({'scrapePool': service})}")
    targets = json.loads(answer)["data"]["activeTargets"] if answer else []
    return (targets[0]["health"], targets[0]["lastError"]) if targets else ("", "")


def fails_with(service: str, words: str) -> bool:
    return bool(eventually(lambda: words in state(service)[1], 15))


def test_services_with_certificates_and_secrets_are_scraped(
    play: Play,
    app1: Host,
    authority: Authority,
) -> None:
    run = play("--tags", "prometheus", "--diff", "-vvv", monitored_services=services(app1, authority))
    assert run.code == 0, run.reason
    for service in ("trade-engine", "desk"):
        assert eventually(lambda service=service: state(service) == ("up", ""), 15), (service, state(service))
    passphrase = "for the lab only"  # noqa: S105
    kept = ["/opt/tds/prometheus/generations/*/etc/secrets/*"]
    for host in ("mon1", "mon2"):
        assert leaks(on(host), [TOKEN, PASSWORD, passphrase], allowed=kept, output=run.output) == []
    assert {leak.secret for leak in leaks(on("mon1"), [TOKEN, PASSWORD])} == {TOKEN, PASSWORD}  # it does find them
    shown = on("mon1").check_output("stat -c '%n %a %U:%G' /etc/prometheus/secrets/*").splitlines()
    assert shown == [f"/etc/prometheus/secrets/{name} 640 root:prometheus" for name in ("desk", "trade-engine")]


def test_another_secret_is_in_force_and_only_the_right_one_is_let_in(
    play: Play, app1: Host, authority: Authority
) -> None:
    wrong = services(app1, authority, **ANOTHER)
    run = play("--tags", "prometheus", "--diff", monitored_services=wrong)
    assert run.code == 0, run.output
    for service in ("trade-engine", "desk"):
        assert fails_with(service, "401 Unauthorized"), state(service)


def test_without_its_authority_or_the_client_certificate_a_service_is_down(
    play: Play, app1: Host, authority: Authority
) -> None:
    less = {"trade_engine": {"tls": {"server_name": "trade-engine.internal"}}, "desk": {"tls": {"ca": "site"}}}
    run = play("--tags", "prometheus", monitored_services=services(app1, authority, **less))
    assert run.code == 0, run.output
    for service, why in {"trade-engine": "unknown authority", "desk": "certificate required"}.items():
        assert fails_with(service, why), state(service)
