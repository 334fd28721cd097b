"""The stand-in of Grafana: the same bytes each time, in the product's shape, and a program that does what it says."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import artifacts, repack
from lab.grafana import archive

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The archive, unpacked."""
    archive.build(ROOT, tmp_path / "a.tar.gz", name="a.tar.gz", machine="amd64")
    with tarfile.open(tmp_path / "a.tar.gz") as tar:
        tar.extractall(tmp_path, filter="data")
    return tmp_path / "a"


def test_it_is_built_where_the_checkout_has_it_and_is_never_called_grafana(tmp_path: Path) -> None:
    (component,) = archive.components(ROOT, "amd64")
    assert (component.name, component.archive) == ("grafana_stand_in", "grafana_stand_in_0.0.0_linux_amd64.tar.gz")
    assert component.built_from == archive.digest(ROOT)
    assert list(archive.components(tmp_path, "amd64")) == []
    assert artifacts.BUILDERS[component.name] is archive


def test_the_same_files_give_the_same_archive(tmp_path: Path) -> None:
    for name in ("first", "second"):
        archive.build(ROOT, tmp_path / name, name="a.tar.gz", machine="amd64")
    assert repack.sha256(tmp_path / "first") == repack.sha256(tmp_path / "second")


@pytest.fixture
def port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def config(tmp_path: Path, port: int) -> Path:
    """A configuration as the role makes it, with a dashboard behind a link that can be switched."""
    for number in (1, 2):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}/trade.json").write_text(json.dumps({"uid": "trade", "title": f"{number}"}))
    (tmp_path / "current").symlink_to(tmp_path / "1")
    (tmp_path / "place").mkdir()
    (tmp_path / "place/trade.json").symlink_to(tmp_path / "current/trade.json")
    (tmp_path / "dashboards").mkdir()
    write_provider(tmp_path, "place")
    (tmp_path / "secret").write_text("hush")
    path = tmp_path / "grafana.ini"
    path.write_text(
        f"[paths]\ndata = {tmp_path}\nprovisioning = {tmp_path}\n"
        f"[server]\nhttp_addr = 127.0.0.1\nhttp_port = {port}\nroot_url = https://mon1/grafana/\n"
        f"[security]\nsecret_key = $__file{{{tmp_path}/secret}}\nadmin_password = $__file{{{tmp_path}/secret}}\n"
        "[auth.proxy]\nheader_name = X-Webauth-User\nwhitelist = 127.0.0.1, ::1\n"
    )
    return path


def write_provider(directory: Path, place: str) -> None:
    (directory / "dashboards/dashboards.yml").write_text(f"updateIntervalSeconds: 0\npath: {directory / place}\n")


@pytest.fixture
def running(home: Path, config: Path, port: int) -> Iterator[str]:
    """The URL of one that runs."""
    command = [sys.executable, "-IB", f"{home}/bin/grafana", "server", f"--homepath={home}", f"--config={config}"]
    with subprocess.Popen(command) as process:
        url = f"http://127.0.0.1:{port}/grafana"
        while process.poll() is None and not answers(url):
            time.sleep(0.02)
        yield url
        process.kill()


def answers(url: str) -> bool:
    try:
        return bool(ask(f"{url}/api/health"))
    except OSError:
        return False


def ask(url: str, **headers: str) -> str:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:  # noqa: S310
        return str(answer.read().decode())


def titles(url: str) -> list[str]:
    return [entry["title"] for entry in json.loads(ask(f"{url}/api/search", **{"X-Webauth-User": "me"}))]


def wait_for(url: str, title: str) -> None:
    for _try in range(500):
        if titles(url) == [title]:
            return
        time.sleep(0.02)
    raise AssertionError(titles(url))


def test_it_answers_as_grafana_does_where_the_role_counts_on_it(running: str) -> None:
    assert json.loads(ask(f"{running}/api/health"))["database"] == "ok"
    assert "grafana_build_info" in ask(f"{running}/metrics")
    assert titles(running) == ["1"]
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask(f"{running}/api/search")


@pytest.mark.parametrize(("place", "deleted"), [("place", "0"), ("current", "1")])
def test_a_switched_link_is_followed_and_makes_all_anew_only_where_it_is_in_the_directorys_path(
    tmp_path: Path, request: pytest.FixtureRequest, place: str, deleted: str
) -> None:
    request.getfixturevalue("config")
    write_provider(tmp_path, place)
    url = request.getfixturevalue("running")
    (tmp_path / "next").symlink_to(tmp_path / "2")
    (tmp_path / "next").rename(tmp_path / "current")
    wait_for(url, "2")
    assert f"stand_in_dashboards_deleted {deleted}\n" in ask(f"{url}/metrics")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[smtp]\nenabled = true\nfrom_address = nobody\n", "invalid email address for SMTP from_address config"),
        ("[security.x]\na = $__file{/nowhere}\n", "/nowhere"),
    ],
)
def test_what_it_cannot_start_with_ends_it(home: Path, config: Path, text: str, told: str) -> None:
    config.write_text(config.read_text() + text)
    command = [sys.executable, "-IB", f"{home}/bin/grafana", "server", f"--homepath={home}", f"--config={config}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode != 0
    assert told in done.stderr
