"""The door: who comes in, to what, and what does not get through; changed while somebody asks."""

from __future__ import annotations

import json
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from tests.canary import leaks
from tests.door import Door, asking, basic, exchange, flooding
from tests.hosts import Play, address, eventually, exposure, installation, on, page, run_record, series, unit
from tests.sandbox import OPEN_FILES, inside, of_the_daemon, planted, rights

NAME, METRICS = "door.test", "http://127.0.0.1:19180/metrics"
ACCESS_LOG = "/var/log/proxy/access.log"
VERA, OTTO, ADA, GONE = USERS = (
    ("vera", "vera-looks-on"),
    ("otto", "otto-operates"),
    ("ada", "ada-administers"),
    ("gone", "gone-tomorrow"),
)
ROLES = {"viewer": VERA, "operator": OTTO, "admin": ADA}
FEW = 2
"""Connections at a reload that end before the door has seen a request on them (docs/compatibility.md)."""
EVERYBODY, STAFF, NOBODY = ("viewer", "operator", "admin"), ("operator", "admin"), ()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("authority") / "ca.crt"
    file.write_text(on("mon1").file("/etc/tds/tls/ca.crt").content_string, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def door(authority: Path) -> Door:
    return Door(address(on("mon1")), 443, NAME, authority)


def echoed(body: str) -> dict[str, Any]:
    return dict(json.loads(body))


# --- who comes in


@pytest.mark.parametrize(
    "user", [None, ("ada", ""), ("ada", "wrong"), ("ada", "vera-looks-on"), ("nobody", "ada-administers"), ("", "")]
)
@pytest.mark.parametrize("path", ["/", "/prometheus/", "/grafana/", "/verify/", "/health/prometheus", "/no"])
def test_without_the_right_password_nobody_comes_in(door: Door, path: str, user: tuple[str, str] | None) -> None:
    answer = door.ask(path, user=user)
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Basic realm=")
    assert answer.body == ""


def test_health_is_told_to_the_networks_that_may_ask_without_a_password(host: Host, door: Door) -> None:
    from_there = f"curl --silent --cacert /etc/tds/tls/ca.crt --resolve {NAME}:443:{door.address} --output /dev/null"
    codes = {
        path: host.check_output(f"{from_there} --write-out '%{{http_code}}' https://{NAME}{path}")
        for path in ("/-/healthy", "/health/prometheus", "/health/alertmanager", "/", "/prometheus/-/ready", "/who")
    }
    assert codes == {
        "/-/healthy": "200",
        "/health/prometheus": "200",
        "/health/alertmanager": "200",
        "/": "401",
        "/prometheus/-/ready": "401",
        "/who": "401",
    }
    post = f"{from_there} --write-out '%{{http_code}}' --data x=1 https://{NAME}/health/prometheus"
    assert host.check_output(post) == "401"


QUERY = "/prometheus/api/v1/query"
SILENCES = "/alertmanager/api/v2/silences"
MATRIX = [
    ("GET", "/", EVERYBODY),
    ("GET", "/door.js", EVERYBODY),
    ("GET", "/who", EVERYBODY),
    ("POST", "/", NOBODY),
    ("GET", "/prometheus/-/ready", EVERYBODY),
    ("GET", f"{QUERY}?query=up", EVERYBODY),
    ("POST", QUERY, EVERYBODY),
    ("POST", "/prometheus/api/v1/query_range", EVERYBODY),
    ("POST", "/prometheus/api/v1/series", EVERYBODY),
    ("GET", "/prometheus/api/v1/rules", EVERYBODY),
    ("GET", "/prometheus/metrics", EVERYBODY),
    ("POST", "/prometheus/api/v1/admin/tsdb/snapshot", NOBODY),
    ("PUT", "/prometheus/api/v1/admin/tsdb/clean_tombstones", NOBODY),
    ("GET", "/prometheus/api/v1/admin/tsdb/snapshot", NOBODY),
    ("GET", "/prometheus/API/V1/Admin/tsdb/snapshot", NOBODY),
    ("POST", "/prometheus/-/reload", NOBODY),
    ("PUT", "/prometheus/-/quit", NOBODY),
    ("GET", "/prometheus/-/quit", NOBODY),
    ("GET", "/prometheus/debug/pprof/", NOBODY),
    ("GET", "/prometheus/debug/pprof/heap", NOBODY),
    ("POST", "/prometheus/api/v1/write", NOBODY),
    ("POST", "/prometheus/api/v1/read", NOBODY),
    ("POST", "/prometheus/api/v1/otlp/v1/metrics", NOBODY),
    ("GET", "/prometheus/federate?match[]=up", NOBODY),
    ("DELETE", "/prometheus/api/v1/series", NOBODY),
    ("GET", "/alertmanager/api/v2/alerts", EVERYBODY),
    ("GET", SILENCES, EVERYBODY),
    ("POST", SILENCES, STAFF),
    ("DELETE", "/alertmanager/api/v2/silence/00000000-0000-0000-0000-000000000000", STAFF),
    ("POST", "/alertmanager/api/v2/alerts", NOBODY),
    ("POST", "/alertmanager/-/reload", NOBODY),
    ("GET", "/alertmanager/debug/pprof/", NOBODY),
    ("PUT", SILENCES, NOBODY),
    ("GET", "/verify/", STAFF),
    ("GET", "/grafana/d/one", EVERYBODY),
    ("POST", "/grafana/api/ds/query", EVERYBODY),
    ("GET", "/grafana/metrics", NOBODY),
    ("POST", "/health/prometheus", NOBODY),
]


@pytest.mark.parametrize(("method", "path", "allowed"), MATRIX, ids=str)
def test_each_role_may_do_what_it_may_and_no_more(door: Door, method: str, path: str, allowed: tuple[str, ...]) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = "query=up&match[]=up&start=1&end=2&step=1" if method == "POST" else None
    answers = {role: door.ask(path, user=user, method=method, headers=form, body=body) for role, user in ROLES.items()}
    refused = {role for role, answer in answers.items() if answer.status == 403}
    assert refused == set(EVERYBODY) - set(allowed), {role: answer.status for role, answer in answers.items()}
    if method == "GET":
        assert {answers[role].status for role in allowed} <= {200, 404}  # the page of verify is not there yet


def test_an_operator_silences_an_alert(door: Door) -> None:
    silence = {
        "matchers": [{"name": "alertname", "value": "Nothing", "isRegex": False}],
        "startsAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "endsAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60)),
        "createdBy": "otto",
        "comment": "a test",
    }
    json_body = {"body": json.dumps(silence), "headers": {"Content-Type": "application/json"}}
    made = door.ask(SILENCES, user=OTTO, method="POST", **json_body)  # type: ignore[arg-type]
    assert made.status == 200, made.body
    name = json.loads(made.body)["silenceID"]
    assert door.ask(f"/alertmanager/api/v2/silence/{name}", user=VERA).status == 200
    assert door.ask(f"/alertmanager/api/v2/silence/{name}", user=VERA, method="DELETE").status == 403
    assert door.ask(f"/alertmanager/api/v2/silence/{name}", user=ADA, method="DELETE").status == 200


def test_a_page_elsewhere_cannot_use_the_password_that_a_browser_remembers(door: Door) -> None:
    for site, status in (("cross-site", 403), ("same-site", 403), ("none", 403), ("same-origin", 200)):
        answer = door.ask("/grafana/api/x", user=ADA, method="POST", headers={"Sec-Fetch-Site": site}, body="x")
        assert answer.status == status


# --- what gets through


@pytest.mark.parametrize(("user", "role"), [(VERA, "Viewer"), (OTTO, "Editor"), (ADA, "Admin")])
def test_what_is_behind_is_told_who_asks_and_nobody_can_say_it_is_another(
    door: Door, user: tuple[str, str], role: str
) -> None:
    forged = {
        "X-Tds-User": "root",
        "x-tds-role": "admin",
        "X-WEBAUTH-USER": "root",
        "X-Webauth-Role": "Admin",
        "X-Webauth-Groups": "admins",
        "X-Tds-Anything": "x",
    }
    answer = door.ask("/grafana/api/user?x=a//b%2F", user=user, headers=forged)
    asked = echoed(answer.body)
    assert asked["path"] == "/grafana/api/user?x=a//b%2F"
    ours = {name: values for name, values in asked["headers"].items() if name.startswith(("x-tds", "x-webauth"))}
    assert ours == {
        "x-tds-user": [user[0]],
        "x-tds-role": [next(name for name, one in ROLES.items() if one == user)],
        "x-webauth-user": [user[0]],
        "x-webauth-role": [role],
    }
    assert "authorization" not in asked["headers"]
    # Nor by a line that is continued on the next, which some servers read as one header and some as two.
    fold = "\n".join(f"{name}: {value}" for name, value in basic(user).items())
    folded = f"GET {SILENCES} HTTP/1.1\nHost: {NAME}\n{fold}\nX-A: b\n X-Tds-Role: admin\nConnection: close\n\n"
    assert door.raw(folded.replace("GET", "POST")) == [
        403 if user == VERA else 422
    ]  # what is behind says that the body is none


@pytest.mark.parametrize(
    "path",
    [
        "/grafana/../prometheus/-/quit",
        "/grafana/..",
        "/prometheus/%2e%2e/verify/",
        "/prometheus/.%2E/verify/",
        "/prometheus/..%2fverify/",
        "/prometheus/..%5cverify/",
        "/prometheus/..;/verify/",
        "/prometheus//api/v1/admin/tsdb/snapshot",
        "//prometheus/api/v1/admin/tsdb/snapshot",
        "/prometheus/api/v1/%2561dmin/tsdb/snapshot",
        "/prometheus/./-/quit",
        "/prometheus/api/v1/query%2f..%2fadmin",
        "/prometheus/-\\quit",
        "/verify/..%00/x",
        "/./",
        "/verify/.",
    ],
)
def test_a_path_that_can_be_read_in_two_ways_is_refused(door: Door, path: str) -> None:
    for user in (VERA, ADA):
        assert door.ask(path, user=user).status == 400


@pytest.mark.parametrize(
    "path", ["/prometheus/%2D/%71uit", "/prometheus/%2D/quit", "/%70rometheus/-/quit", "/prometheus/-%2Fquit"]
)
def test_what_is_written_in_another_way_is_closed_all_the_same(door: Door, path: str) -> None:
    assert door.ask(path, user=ADA, method="PUT").status in (400, 403)


AS_ADA = f"Host: {NAME}\nAuthorization: {basic(ADA)['Authorization']}\n"
SECOND = f"GET /smuggled HTTP/1.1\n{AS_ADA}\n"
SMUGGLED = {
    "two lengths": (f"POST {QUERY} HTTP/1.1\n{AS_ADA}Content-Length: 5\nContent-Length: 6\n\nabcdef", [400]),
    "no number": (f"POST {QUERY} HTTP/1.1\n{AS_ADA}Content-Length: +5\n\nabcde", [400]),
    "length and chunks": (
        f"POST {QUERY} HTTP/1.1\n{AS_ADA}Content-Length: 5\nTransfer-Encoding: chunked\n\n0\n\n{SECOND}",
        [411],
    ),
    "chunks": (f"POST {QUERY} HTTP/1.1\n{AS_ADA}Transfer-Encoding: chunked\n\n0\n\n{SECOND}", [411]),
    "bad chunks": (f"POST {QUERY} HTTP/1.1\n{AS_ADA}Transfer-Encoding: chunked\n\nzz\nabc\n0\n\n{SECOND}", [411]),
    "an unknown coding": (f"POST {QUERY} HTTP/1.1\n{AS_ADA}Transfer-Encoding: xchunked\n\n0\n\n{SECOND}", [501]),
    "two codings": (
        f"POST {QUERY} HTTP/1.1\n{AS_ADA}Transfer-Encoding: chunked\nTransfer-Encoding: identity\n\n0\n\n{SECOND}",
        [501],
    ),
    "a space before the colon": (f"POST {QUERY} HTTP/1.1\n{AS_ADA}Transfer-Encoding : chunked\n\n0\n\n{SECOND}", [400]),
    "two hosts": (f"GET /who HTTP/1.1\n{AS_ADA}Host: other\n\n", [400]),
    "no host": ("GET /who HTTP/1.1\n\n", [400]),
    "another host": (f"GET http://other/who HTTP/1.1\n{AS_ADA}Connection: close\n\n", [421]),
    "a null byte": (f"GET /who HTTP/1.1\n{AS_ADA}X-A: a\0b\n\n", [400]),
    "a header of 40 kB": (f"GET /who HTTP/1.1\n{AS_ADA}X-A: {'a' * 40000}\n\n", [431]),
    "HTTP/0.9": ("GET /who\n\n", [400]),
    "another method": (f"TRACE /who HTTP/1.1\n{AS_ADA}Connection: close\n\n", [405]),
    "a tunnel": (f"CONNECT 127.0.0.1:9090 HTTP/1.1\n{AS_ADA}Connection: close\n\n", [421]),
}


@pytest.mark.parametrize("attempt", SMUGGLED)
def test_no_request_is_smuggled_in_another(door: Door, attempt: str) -> None:
    text, statuses = SMUGGLED[attempt]
    assert door.raw(text) == statuses


def test_a_body_that_is_too_large_is_refused(door: Door) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for size, status in ((60_000, 200), (70_000, 413)):
        assert door.ask("/grafana/x", user=ADA, method="POST", headers=form, body="x" * size).status == status


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")  # of the old ones
def test_only_modern_tls_is_spoken(door: Door) -> None:
    def spoken(version: ssl.TLSVersion, ciphers: str = "ALL:@SECLEVEL=0") -> str:
        context = door.context()
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = version
        context.set_ciphers(ciphers)
        try:
            with door.connect(context) as connection:
                return str(connection.version())
        except ssl.SSLError as error:
            return f"refused: {error.reason}"

    assert spoken(ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    assert spoken(ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    for version in (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1):
        assert spoken(version).startswith("refused")
    for weak in ("ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA", "AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256"):
        assert spoken(ssl.TLSVersion.TLSv1_2, f"{weak}:@SECLEVEL=0").startswith("refused"), weak


def test_it_speaks_http_2_and_answers_on_no_other_port(host: Host, door: Door) -> None:
    to_it = f"--cacert /etc/tds/tls/ca.crt --resolve {NAME}:443:{door.address}"
    ask = f"curl --silent {to_it} --output /dev/null --write-out '%{{http_version}}' https://{NAME}/"
    assert host.check_output(ask) == "2"
    listening = host.check_output("ss --no-header --tcp --udp --listening --numeric --processes | grep caddy")
    assert {line.split()[4] for line in listening.splitlines()} == {f"{door.address}:443", "127.0.0.1:19180"}


@pytest.mark.parametrize("path", ["/", "/grafana/", "/prometheus/-/ready", "/prometheus/-/quit", "/no", "//"])
def test_every_answer_has_the_headers_that_protect_a_browser(door: Door, path: str) -> None:
    for user in (ADA, None):
        headers = door.ask(path, user=user).headers
        assert headers["strict-transport-security"] == "max-age=31536000"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert not {"server", "via", "x-powered-by"} & headers.keys()


def test_the_landing_page_needs_nothing_from_elsewhere_and_says_who_is_there(door: Door) -> None:
    landing = door.ask("/", user=VERA)
    assert "default-src 'none'" in landing.headers["content-security-policy"]
    links = re.findall(r'(?:href|src|data-health)="([^"]+)"', landing.body)
    assert {"/door.css", "/door.js", "/prometheus/", "/alertmanager/", "/grafana/", "/health/prometheus"} <= set(links)
    assert {door.ask(link, user=OTTO).status for link in links} <= {200, 302, 404}
    assert [link for link in links if not link.startswith("/")] == []
    assert door.ask("/who", user=VERA).body == "vera, viewer"
    assert door.ask("/door.js", user=VERA).headers["content-type"].startswith("text/javascript")


def test_pages_that_others_write_are_seen_by_operators(host: Host, door: Door) -> None:
    host.check_output("mkdir -p /srv/pages/verify && cd /srv/pages && echo no >other && echo yes >verify/index.html")
    assert {role: door.ask("/verify/", user=user).status for role, user in ROLES.items()} == {
        "viewer": 403,
        "operator": 200,
        "admin": 200,
    }
    assert door.ask("/verify/", user=OTTO).body == "yes\n"
    assert door.ask("/other", user=ADA).status == 404
    assert host.check_output("stat --format='%a %U:%G' /srv/pages") == "750 root:tds-proxy"


def test_prometheus_serves_below_its_prefix_and_knows_its_name(host: Host, door: Door) -> None:
    assert door.ask("/prometheus", user=VERA).headers["location"] == "/prometheus/"
    flags = json.loads(door.ask("/prometheus/api/v1/status/flags", user=VERA).body)["data"]
    assert flags["web.external-url"] == f"https://{NAME}/prometheus/"
    assert page(host, "http://127.0.0.1:9090/-/ready")  # proofs and scrapes keep their paths
    assert page(host, "http://127.0.0.1:9093/-/ready")


def test_its_own_metrics_are_scraped(host: Host) -> None:
    def up() -> list[Any]:
        answer = page(host, "http://127.0.0.1:9090/api/v1/query?query=up%7Bjob=%22proxy%22%7D")
        return [one["value"][1] for one in json.loads(answer or "{}").get("data", {}).get("result", [])]

    assert eventually(lambda: up() == ["1"], 30), up()


def test_where_one_does_not_answer_the_other_is_asked(host: Host, door: Door) -> None:
    assert "Ready" in door.ask("/prometheus/-/ready", user=VERA).body
    host.check_output("systemctl stop prometheus")
    try:
        assert echoed(door.ask("/prometheus/-/ready", user=VERA).body)["path"] == "/-/ready"
    finally:
        host.check_output("systemctl start prometheus")
    assert eventually(lambda: "Ready" in door.ask("/prometheus/-/ready", user=VERA).body, 20)


# --- what it says, and to whom


def test_the_log_has_who_asked_for_what_and_no_secret(host: Host, door: Door) -> None:
    mark = f"mark{time.time():.0f}"
    secret = f"canary-{mark}"
    headers = {"Cookie": f"session={secret}", "Referer": f"https://x/?token={secret}", "X-Api-Key": secret}
    door.ask(f"/prometheus/{mark}?query=up&token={secret}&password={secret}&key={secret}", user=VERA, headers=headers)
    door.ask(f"/prometheus/{mark}?api_key={secret}", user=("vera", secret), headers=headers)

    def lines() -> list[dict[str, Any]]:
        text = host.check_output(f"grep {mark} {ACCESS_LOG} || true")
        return [json.loads(line) for line in text.splitlines()]

    assert eventually(lambda: len(lines()) == 2, 5), lines()
    inside_, outside_ = lines()
    assert (inside_["user"], inside_["status"], inside_["request"]["method"]) == ("vera", 404, "GET")
    assert (outside_["user"], outside_["status"]) == ("", 401)
    assert "query=up" in inside_["request"]["uri"]
    secrets = [secret, VERA[1], *(basic(user)["Authorization"].split()[1] for user in (VERA, ("vera", secret)))]
    assert [one for one in secrets if one in json.dumps(lines())] == []
    assert leaks(host, secrets) == []


def test_the_log_is_kept_small_and_is_nobody_elses(host: Host, door: Door) -> None:
    mark = f"before-it-was-full-{time.time():.0f}"
    door.ask(f"/{mark}", user=VERA)
    full = f"{ACCESS_LOG.removesuffix('.log')}-*.log.gz"
    host.check_output(f"systemctl stop proxy; truncate --size=10485700 {ACCESS_LOG}; systemctl start proxy")
    assert eventually(lambda: page(host, METRICS), 10)
    door.ask("/", user=VERA)
    assert eventually(lambda: host.run(f"zgrep --text --files-with-matches {mark} {full}").rc == 0, 10)
    assert host.file(ACCESS_LOG).size < 10_000
    kept = host.check_output(f"stat --format='%a %U:%G' /var/log/proxy {ACCESS_LOG} {full}").splitlines()
    assert set(kept) == {"700 tds-proxy:tds-proxy", "600 tds-proxy:tds-proxy"}


def test_where_the_log_cannot_be_written_the_door_goes_on(host: Host, door: Door) -> None:
    """A full disk is no reason to let nobody see what is wrong."""
    host.check_output("mount --types tmpfs --options size=16k tmpfs /var/log/proxy && chown tds-proxy: /var/log/proxy")
    try:
        host.check_output("systemctl restart proxy")
        assert eventually(lambda: page(host, METRICS), 10)
        assert [door.ask("/who", user=VERA).status for _ in range(50)] == [200] * 50
        assert host.check_output("df --output=avail /var/log/proxy | tail -1").strip() == "0"
    finally:
        host.check_output("umount --lazy /var/log/proxy; systemctl restart proxy")
        assert eventually(lambda: page(host, METRICS), 10)


def hashes(host: Host) -> list[str]:
    return re.findall(r"\$2b\$\S+", host.file("/etc/proxy/users").content_string)


def test_no_hash_is_anywhere_but_in_its_file(host: Host, play: Play) -> None:
    run = play("--tags", "proxy", "--diff", "-vvv")
    assert (run.code, run.changed) == (0, 0), run.reason
    kept = ["/opt/tds/proxy/generations/*/etc/users"]
    assert len(hashes(host)) == len(USERS)
    assert leaks(host, hashes(host), allowed=kept, output=run.output) == []
    for file in ("users", "pass"):
        assert host.check_output(f"stat --format='%a %U:%G' /etc/proxy/{file}") == "640 root:tds-proxy"


def test_its_administration_is_its_own(host: Host) -> None:
    ask = "curl --silent --max-time 3 --unix-socket /run/proxy/admin.sock http://localhost/config/"
    assert host.run(f"runuser --user prometheus -- {ask}").rc != 0
    assert host.run(f"runuser --user nobody -- {ask}").rc != 0
    assert '"apps"' in host.check_output(ask)
    assert host.run("curl --silent --max-time 3 http://127.0.0.1:2019/config/").rc == 7
    assert host.check_output("stat --format='%a %U' /run/proxy") == "700 tds-proxy"


@pytest.fixture(scope="module")
def prepared() -> Iterator[Host]:
    with planted(on("mon1")):
        yield on("mon1")


def test_it_can_do_nothing_but_its_work(prepared: Host) -> None:
    shown = unit(prepared, "proxy", "MemoryMax", "TasksMax", "CPUQuotaPerSecUSec", "User")
    limits = {"MemoryMax": str(160 << 20), "TasksMax": "96", "CPUQuotaPerSecUSec": "1.500000s"}
    assert shown == {**limits, "User": "tds-proxy"}
    assert exposure(prepared, "proxy") <= 1.5
    files = ["/etc/shadow", *OPEN_FILES, "/etc/tds/tls/server.key", "/etc/prometheus/prometheus.yml"]
    report = inside(prepared, "proxy", files)
    assert set(report.done) == {"open a socket: inet", "open a socket: inet6", "open a socket: unix"}
    assert rights(report.rights) == of_the_daemon(prepared, "proxy")[0]
    assert set(report.writable) <= {"/run/proxy", "/var/log/proxy", "/tmp", "/var/tmp"}  # noqa: S108


# --- changes, while somebody asks


def without(user: str) -> list[dict[str, str]]:
    text = Path(__file__).parents[1].joinpath("inventory/group_vars/all.yml").read_text(encoding="utf-8")
    rows = re.findall(r"\{name: (\w+), role: (\w+), password_hash: (\S+)\}", text)
    return [{"name": name, "role": role, "password_hash": hash_} for name, role, hash_ in rows if name != user]


def reloads(host: Host) -> float:
    return series(page(host, METRICS))["caddy_config_last_reload_success_timestamp_seconds"]


def test_who_is_removed_is_out_in_five_seconds_and_nobody_else_notices(
    host: Host,
    door: Door,
    play: Play,
    restored: None,  # noqa: ARG001
) -> None:
    before = unit(host, "proxy", "InvocationID")
    with (
        asking(door, QUERY + "?query=up", VERA, each_second=50) as anew,
        asking(door, QUERY + "?query=up", OTTO, each_second=50, anew=False) as kept,
        asking(door, "/who", GONE, each_second=10, anew=False) as removed,
    ):
        run = play("--tags", "proxy", proxy_users=without("gone"))
        assert (run.code, run.changed) == (0, 1), run.output
        assert eventually(lambda: removed.statuses(time.time() - 1) == {401}, 10)
    assert unit(host, "proxy", "InvocationID") == before
    assert run_record(host)[-1]["action"] == "reload"
    reloaded = reloads(host)
    assert removed.statuses(reloaded + 5) <= {401}
    assert max(at for at, status in removed.answers if status == 200) < reloaded + 5
    assert removed.statuses() == {200, 401}
    for asked in (anew, kept):
        assert (asked.statuses(), asked.errors) == ({200}, [])
        assert len(asked.answers) > 50
        assert asked.again <= FEW


def test_a_renewed_certificate_is_served_and_nobody_notices(host: Host, door: Door, play: Play) -> None:
    def serial() -> int:
        with door.connect() as connection:
            return int(str((connection.getpeercert() or {})["serialNumber"]), 16)

    before, running = serial(), unit(host, "proxy", "InvocationID")
    host.check_output("rm /etc/tds/tls/server.crt")
    with asking(door, QUERY + "?query=up", VERA, each_second=50) as asked:
        run = play("--tags", "certificates")
    assert run.code == 0, run.output
    assert serial() != before
    assert unit(host, "proxy", "InvocationID") == running
    assert (asked.statuses(), asked.errors) == ({200}, [])
    assert asked.again <= FEW


def test_a_flood_of_wrong_passwords_does_not_keep_others_out(host: Host, door: Door) -> None:
    to_it = f"--cacert /etc/tds/tls/ca.crt --resolve {NAME}:443:{door.address} --user {':'.join(VERA)}"
    ask = f"curl --silent {to_it} --output /dev/null --write-out '%{{http_code}} ' https://{NAME}/who"
    with flooding(door, "vera", 16) as flood:
        assert eventually(lambda: len(flood.answers) > 5, 20)
        codes = host.check_output(f"for i in $(seq 50); do {ask}; done").split()
        assert len(flood.answers) > 5
    assert set(codes) == {"200"}
    assert flood.statuses() == {401}
    assert door.ask("/who", user=VERA).status == 200  # also from where the flood came, when it is over


def cookie(door: Door) -> dict[str, str]:
    """What a browser sends along that has come in before."""
    given = door.ask("/who", user=VERA).headers["set-cookie"]
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} == {part.strip() for part in given.split(";")[1:]}
    return {"Cookie": given.partition(";")[0]}


def test_who_has_come_in_before_does_not_wait_behind_strangers_at_the_same_address(door: Door) -> None:
    known, asked = cookie(door), 20
    with flooding(door, "vera", 16) as flood:
        assert eventually(lambda: len(flood.answers) > 5, 20)
        before = len(flood.answers)
        with closing(door.session()) as session:
            codes = {exchange(session, "/who", user=VERA, headers=known).status for _again in range(asked)}
        meanwhile = len(flood.answers) - before
    assert codes == {200}
    assert meanwhile < asked  # in the strangers' queue each would have waited for about 16 of them


@pytest.mark.parametrize("user", [None, ("vera", "wrong"), ("nobody", "vera-looks-on")])
def test_the_cookie_lets_nobody_in(door: Door, user: tuple[str, str] | None) -> None:
    answer = door.ask("/who", user=user, headers=cookie(door))
    assert answer.status == 401
    assert "set-cookie" not in door.ask("/who", user=user).headers


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"proxy_users": [{"name": "eve", "role": "admin", "password_hash": "plain"}]}, "is no hash by bcrypt"),
    ({"proxy_users": [*without("vera"), *without("vera")]}, "proxy_users[0] is that too"),
    ({"proxy_users": []}, "nobody could come in"),
    ({"proxy_name": "not/a/name"}, "write the DNS name that people use"),
]


@pytest.mark.parametrize(("variables", "words"), BROKEN)
def test_what_cannot_be_let_in_is_refused_before_the_first_change(
    host: Host, play: Play, variables: dict[str, Any], words: str
) -> None:
    before = installation(host, "proxy")
    run = play("--tags", "proxy", **variables)
    assert (run.code != 0, run.changed) == (True, 0), run.output
    assert words in run.output
    assert installation(host, "proxy") == before


def test_what_caddy_refuses_changes_nothing(host: Host, door: Door, play: Play) -> None:
    before = installation(host, "proxy")
    run = play("--tags", "proxy", proxy_max_body="much")
    assert (run.code != 0, run.changed) == (True, 0), run.output
    assert "caddy validate" in run.output
    assert installation(host, "proxy") == before
    assert door.ask("/who", user=ADA).status == 200


def test_what_does_not_come_up_is_rolled_back(host: Host, door: Door, play: Play) -> None:
    """Its port is taken by another: Caddy's own check does not try that."""
    host.check_output("systemd-run --quiet --unit=taken python3 -m http.server --bind 127.0.0.1 19181")
    try:
        run = play("--tags", "proxy", proxy_metrics_port=19181)
        assert run.code != 0, run.output
        assert "address already in use" in run.output
        assert door.ask("/who", user=ADA).status == 200
        assert series(page(host, METRICS))["caddy_config_last_reload_successful"] == 1
    finally:
        host.check_output("systemctl stop taken")
        run = play()
        assert run.code == 0, run.output


@pytest.mark.skipif(shutil.which("sslscan") is None, reason="sslscan is not installed")
def test_sslscan_finds_nothing_below_a_modern_profile(door: Door) -> None:
    command = ["sslscan", "--no-colour", f"--sni-name={NAME}", f"{door.address}:443"]
    scan = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    enabled = re.findall(r"^(SSLv\d|TLSv1\.\d) +enabled", scan, re.MULTILINE)
    assert enabled == ["TLSv1.2", "TLSv1.3"]
    accepted = set(re.findall(r"(?:Preferred|Accepted) +\S+ +\d+ bits +(\S+)", scan))
    assert {name for name in accepted if not re.search("GCM|CHACHA20", name)} == set()
