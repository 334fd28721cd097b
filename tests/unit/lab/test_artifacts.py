"""Where each archive comes from: a directory, upstream, Debian, or nowhere; and never twice."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import artifacts, debian, duckdb_archive, inventory, upstream
from lab.common import LabError, Paths, Progress
from lab.upstream import NotAvailableError

GOOD = b"the archive that was pinned"
PIN = hashlib.sha256(GOOD).hexdigest()
Download = Callable[[upstream.Upstream, str, Path], None]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "home", tmp_path / "cache")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of two roles: Debian has the first, nobody but its publisher the second."""
    monkeypatch.setattr(artifacts, "architecture", lambda: "amd64")
    monkeypatch.setenv("TDS_LAB_MIRROR", "http://mirror.example/debian")
    for role in ("node_exporter", "grafana"):
        write_role(tmp_path, role, "2.0", PIN)
    return tmp_path


def write_role(repository: Path, role: str, version: str, pin: str) -> None:
    directory = repository / f"roles/{role}/defaults"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "main.yml").write_text(
        f'{role}_version: "{version}"\n'
        f"{role}_upstream: https://{role}.example/v{{{{ {role}_version }}}}\n"
        f"{role}_archive: {role}-{{{{ {role}_version }}}}.linux-{{{{ daemon_architecture }}}}.tar.gz\n"
        f'{role}_pins: {{"{version}": {{amd64: {pin}}}}}\n'
    )


def unreachable(_: upstream.Upstream, url: str, __: Path) -> None:
    raise NotAvailableError(f"{url.split('/')[2]} cannot be reached")


def delivers(content: bytes) -> Download:
    def download(_: upstream.Upstream, __: str, target: Path) -> None:
        target.write_bytes(content)

    return download


def unpacks(_: debian.Packages, component: str, into: Path) -> str:
    if component not in debian.SOURCES:
        raise NotAvailableError("not in Debian")
    for path in debian.SOURCES[component].binaries.values():
        (into / path).parent.mkdir(parents=True, exist_ok=True)
        (into / path).write_bytes(b"binary")
    return "prometheus-node-exporter 1.11.1-3"


def never(*_: object) -> None:
    raise AssertionError("nobody should be asked")


def use(monkeypatch: pytest.MonkeyPatch, download: Download) -> None:
    monkeypatch.setattr(upstream.Upstream, "fetch", download)
    monkeypatch.setattr(debian.Packages, "fetch", unpacks)


def origins(rows: list[list[str]]) -> dict[str, str]:
    return {row[0]: row[3] for row in rows}


def test_upstream_is_taken_when_it_fits_the_pin(
    repository: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, delivers(GOOD))
    rows = artifacts.fill(repository, paths, Progress())
    assert origins(rows) == {"node_exporter": "upstream", "grafana": "upstream"}
    assert (paths.artifacts / "grafana-2.0.linux-amd64.tar.gz").read_bytes() == GOOD
    assert f"{PIN}  grafana-2.0.linux-amd64.tar.gz\n" in (paths.artifacts / "sha256sums.txt").read_text()


def test_an_archive_that_does_not_fit_its_pin_is_never_served(
    repository: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, delivers(b"something else"))
    rows = artifacts.fill(repository, paths, Progress())
    assert f"pinned is {PIN}" in origins(rows)["grafana"]
    assert not list(paths.artifacts.glob("grafana*"))
    assert not list(paths.artifacts.glob(".*.part"))


def test_our_own_is_built_from_the_checkout_and_anew_when_that_changes(
    repository: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_role(repository, "duckdb_exporter", "2.0", PIN)
    use(monkeypatch, delivers(GOOD))
    for sources in ("first", "second", "second"):
        monkeypatch.setattr(duckdb_archive, "digest", lambda _, sources=sources: sources)
        monkeypatch.setattr(
            duckdb_archive, "build", lambda _, target, sources=sources, **__: target.write_text(sources)
        )
        assert origins(artifacts.fill(repository, paths, Progress()))["duckdb_exporter"] == "this checkout"
        assert (paths.artifacts / "duckdb_exporter-2.0.linux-amd64.tar.gz").read_text() == sources
        monkeypatch.setattr(duckdb_archive, "build", never)
        artifacts.fill(repository, paths, Progress())


def test_our_own_that_cannot_be_built_is_told(repository: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: object, **__: object) -> None:
        raise NotAvailableError("its wheels cannot be had")

    write_role(repository, "duckdb_exporter", "2.0", PIN)
    use(monkeypatch, delivers(GOOD))
    monkeypatch.setattr(duckdb_archive, "build", build)
    told = origins(artifacts.fill(repository, paths, Progress()))
    assert told["duckdb_exporter"] == "not available: its wheels cannot be had"


def test_debian_stands_in_with_its_own_version_and_says_so(
    repository: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, unreachable)
    rows = artifacts.fill(repository, paths, Progress())
    assert origins(rows) == {
        "node_exporter": "Debian forky prometheus-node-exporter 1.11.1-3",
        "grafana": "not available: grafana.example cannot be reached; not in Debian",
    }
    found = inventory.artifacts(paths)
    assert set(found) == {"node_exporter"}
    entry = found["node_exporter"]
    assert (entry["version"], entry["archive"]) == ("1.11.1", "node_exporter-1.11.1.linux-amd64.tar.gz")
    served = (paths.artifacts / entry["archive"]).read_bytes()
    assert entry["sha256"] == hashlib.sha256(served).hexdigest()


def test_a_directory_goes_before_everything(
    repository: Path, paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, unreachable)
    artifacts.fill(repository, paths, Progress())
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for role in ("node_exporter", "grafana"):
        (bundle / f"{role}-2.0.linux-amd64.tar.gz").write_bytes(GOOD)
    use(monkeypatch, never)
    rows = artifacts.fill(repository, paths, Progress(), bundle)
    assert origins(rows) == {"node_exporter": "upstream", "grafana": "upstream"}


def test_one_archive_from_disk_goes_before_everything(
    repository: Path, paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, unreachable)
    artifacts.fill(repository, paths, Progress())
    archive = tmp_path / "grafana-2.0.linux-amd64.tar.gz"
    archive.write_bytes(GOOD)
    use(monkeypatch, never)
    told = origins(artifacts.fill(repository, paths, Progress(), archive))
    assert told["grafana"] == "upstream"
    assert told["node_exporter"].startswith("Debian")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("grafana-2.0.linux-amd64.tar.gz", b"something else", f"grafana_pins has {PIN}"),
        ("grafana-2.1.linux-amd64.tar.gz", GOOD, "is no archive that a role wants: "),
        ("nowhere", None, "is neither a directory nor a file"),
    ],
)
def test_an_archive_from_disk_that_is_not_pinned_is_refused(
    repository: Path, paths: Paths, tmp_path: Path, name: str, content: bytes | None, told: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(LabError, match=told):
        artifacts.fill(repository, paths, Progress(), tmp_path / name)


def test_the_second_time_nobody_is_asked(repository: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, unreachable)
    first = artifacts.fill(repository, paths, Progress())
    use(monkeypatch, never)
    monkeypatch.setattr(debian.Packages, "fetch", never)
    assert artifacts.fill(repository, paths, Progress()) == first
    artifacts.ensure(repository, paths, Progress())


def test_a_changed_pin_is_looked_for_again(repository: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, unreachable)
    artifacts.fill(repository, paths, Progress())
    write_role(repository, "grafana", "2.1", PIN)
    use(monkeypatch, delivers(GOOD))
    rows = artifacts.fill(repository, paths, Progress())
    assert origins(rows)["grafana"] == "upstream"
    assert origins(rows)["node_exporter"].startswith("Debian")


def test_refresh_asks_again_for_what_is_not_upstream_s(
    repository: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, unreachable)
    artifacts.fill(repository, paths, Progress())
    use(monkeypatch, delivers(GOOD))
    rows = artifacts.fill(repository, paths, Progress(), refresh=True)
    assert set(origins(rows).values()) == {"upstream"}


def test_a_lost_archive_is_found_again(repository: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, delivers(GOOD))
    artifacts.fill(repository, paths, Progress())
    archive = paths.artifacts / "grafana-2.0.linux-amd64.tar.gz"
    archive.unlink()
    artifacts.ensure(repository, paths, Progress())
    assert archive.read_bytes() == GOOD


def test_a_component_that_no_role_wants_is_forgotten(
    repository: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, delivers(GOOD))
    artifacts.fill(repository, paths, Progress())
    (repository / "roles/grafana/defaults/main.yml").write_text("{}\n")
    artifacts.fill(repository, paths, Progress())
    state = json.loads((paths.artifacts / "state.json").read_text())
    assert set(state["available"]) == {"node_exporter"}
