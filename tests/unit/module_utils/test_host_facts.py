"""What is read of a host: of a made-up one where that matters, else of this one."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible_collections.tds.monitoring.plugins.module_utils import host_facts

HERE = Path("/")
MOUNTINFO = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro
30 22 0:25 / /run rw,nosuid - tmpfs tmpfs rw
40 22 254:16 / /prometheus rw,noatime shared:9 - xfs /dev/vdb rw,attr2
41 22 254:32 / /srv/two\\040words ro - ext4 /dev/vdc ro
"""


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n', {"id": "debian", "release": "trixie"}),
        ('ID="rhel"\nVERSION_ID="9.4"\n', {"id": "rhel", "release": "9.4"}),
        ("", {"id": "", "release": ""}),
    ],
)
def test_the_system_is_that_of_os_release(tmp_path: Path, text: str, found: dict[str, str]) -> None:
    write(tmp_path, "etc/os-release", text)
    assert host_facts.system(tmp_path) == found


def test_memory_is_bytes(tmp_path: Path) -> None:
    write(tmp_path, "proc/meminfo", "MemTotal:        2048 kB\nMemFree:  1 kB\n")
    assert host_facts.memory(tmp_path) == 2 * 2**20
    assert host_facts.memory(tmp_path / "nowhere") == 0


def test_cpus_are_isolated_by_any_of_two(tmp_path: Path) -> None:
    assert host_facts.cpu_numbers(tmp_path) == {"online": "", "isolated": ""}
    write(tmp_path, "sys/devices/system/cpu/online", "0-15\n")
    write(tmp_path, "sys/devices/system/cpu/isolated", "\n")
    write(tmp_path, "sys/devices/system/cpu/nohz_full", "  (null)\n")
    assert host_facts.cpu_numbers(tmp_path) == {"online": "0-15", "isolated": ""}
    write(tmp_path, "sys/devices/system/cpu/isolated", "8-11\n")
    write(tmp_path, "sys/devices/system/cpu/nohz_full", "10-15\n")
    assert host_facts.cpu_numbers(tmp_path) == {"online": "0-15", "isolated": "8-11,10-15"}


def test_the_hierarchy_is_the_second_where_it_has_controllers(tmp_path: Path) -> None:
    assert host_facts.cgroup(tmp_path) == {"version": 1, "controllers": []}
    write(tmp_path, "sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n")
    assert host_facts.cgroup(tmp_path) == {"version": 2, "controllers": ["cpu", "memory", "pids"]}


@pytest.mark.parametrize(
    ("path", "mount", "filesystem", "option"),
    [
        ("/prometheus/data", "/prometheus", "xfs", "noatime"),
        ("/prometheus", "/prometheus", "xfs", "attr2"),
        ("/prometheus2", "/", "ext4", "relatime"),
        ("/run/x", "/run", "tmpfs", "nosuid"),
        ("/srv/two words/x", "/srv/two words", "ext4", "ro"),
    ],
)
def test_a_path_is_on_the_deepest_mount_above_it(path: str, mount: str, filesystem: str, option: str) -> None:
    found = host_facts._mount(Path(path), MOUNTINFO)
    assert (found["mount"], found["filesystem"]) == (mount, filesystem)
    assert option in found["options"]


def test_the_disk_of_what_is_not_there_yet_is_that_of_its_parent(tmp_path: Path) -> None:
    found = host_facts.disk(tmp_path / "not/yet", HERE)
    size = os.statvfs(tmp_path)
    assert found["size_bytes"] == size.f_blocks * size.f_frsize
    assert found["fsync_seconds"] is None or 0 < found["fsync_seconds"] < 60
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_who_listens_is_told_by_program_and_name(listener: int) -> None:
    found = host_facts.listeners({listener, 1}, HERE)
    assert found.keys() == {str(listener)}
    assert found[str(listener)]["name"] == Path("/proc/self/comm").read_text().strip()


@pytest.mark.parametrize(
    ("exe", "words", "told"),
    [
        ("/usr/sbin/sshd", ["/usr/sbin/sshd", "/etc/x"], "/usr/sbin/sshd"),
        ("/usr/bin/python3.13", ["/usr/bin/python3", "-IB", "/opt/tds/a/a", "--b"], "/opt/tds/a/a"),
        ("/usr/bin/python3.13", ["/usr/bin/python3", "/opt/tds/a/a"], "/opt/tds/a/a"),
        ("/usr/bin/python3.13", ["/usr/bin/python3", "-m", "http.server", "/opt/tds/a"], "/usr/bin/python3.13"),
    ],
)
def test_a_python_programs_program_is_itself(tmp_path: Path, exe: str, words: list[str], told: str) -> None:
    process = tmp_path / "proc/7"
    (process / "fd").mkdir(parents=True)
    (process / "exe").symlink_to(exe)
    (process / "fd/3").symlink_to("socket:[42]")
    (process / "cmdline").write_text("\0".join([*words, ""]))
    (tmp_path / "proc/self/net").mkdir(parents=True)
    row = f"0: 0100007F:{9125:04X} 00000000:0000 0A 0:0 0:0 0 0 0 42"
    (tmp_path / "proc/self/net/tcp").write_text(f"head\n{row}\n")
    assert host_facts.listeners({9125}, tmp_path)["9125"]["exe"] == told


def test_a_name_that_nobody_knows_has_no_address() -> None:
    assert host_facts.addresses("127.0.0.1") == ["127.0.0.1"]
    assert host_facts.addresses("nowhere.invalid") == []


@pytest.fixture
def mirror() -> Iterator[str]:
    """Of archives; and a Prometheus."""

    class Answers(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200 if self.path == "/there" else 404)
            self.end_headers()

        def do_GET(self) -> None:
            where = urlsplit(self.path)
            (query,) = parse_qs(where.query)["query"]
            asked = re.findall(r', "what", "(\w+)",', query)
            rows = [{"metric": {"what": what}, "value": [1, "42.5"]} for what in asked[:2]]
            self.send_response(200)
            self.end_headers()
            broken = where.path != "/api/v1/query"
            self.wfile.write(b"<html>" if broken else json.dumps({"data": {"result": rows}}).encode())

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_archive_is_asked_for_unless_it_is_installed(mirror: str, tmp_path: Path) -> None:
    archives = {name: {"version": "1.0", "url": f"{mirror}/{name}"} for name in ("there", "missing", "installed")}
    (tmp_path / "opt/tds/installed/releases/1.0").mkdir(parents=True)
    found = host_facts.facts("/", "", [], [], archives, root=tmp_path)["archives"]
    assert found == {"there": "", "missing": "HTTP 404"}


def test_a_mirror_that_does_not_answer_is_told(listener: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_facts, "ANSWER_SECONDS", 0.2)
    assert "timed out" in host_facts.answer(f"http://127.0.0.1:{listener}/x")
    assert host_facts.answer("http://127.0.0.1:1/x") != ""
    assert host_facts.answer("/srv/of-the-controller.tar.gz") == ""


def test_a_prometheus_that_runs_is_asked_what_it_takes_in(mirror: str, tmp_path: Path) -> None:
    found = host_facts.facts("/", "", [], [], {}, {"url": mirror}, tmp_path)["prometheus"]
    assert found == {"samples_per_second": 42.5, "series": 42.5}  # it has written no block yet


@pytest.mark.parametrize("where", ["http://127.0.0.1:1", "{mirror}/a/login/page", "no url"])
def test_what_does_not_answer_as_prometheus_says_nothing(mirror: str, where: str) -> None:
    assert host_facts.running(where.format(mirror=mirror), {}) == {}


def test_time_daemons_are_known_by_their_processes(tmp_path: Path) -> None:
    for number, name in enumerate(("systemd", "ntpd", "systemd-timesyn", "chronyd-helper", "ntpd")):
        write(tmp_path, f"proc/{number + 1}/comm", f"{name}\n")
    assert host_facts.time_daemons(tmp_path) == ["ntpd", "systemd-timesyn"]


def test_the_clock_says_what_time_it_is() -> None:
    found = host_facts.clock()
    assert found["time"] > 1.7e9
    assert (found["max_error"] is not None) == found["synchronised"]
