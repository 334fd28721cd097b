"""The lab wants what the roles pin, read from their defaults as Ansible would."""

from pathlib import Path

import pytest

from lab import pins
from lab.common import LabError

DEFAULTS = """\
thing_version: 1.2.3
thing_upstream: https://publisher.example/download/v{{ thing_version }}
thing_flavour: linux-{{ daemon_architecture }}
thing_archive: thing-{{ thing_version }}.{{ thing_flavour }}.tar.gz
thing_pins:
  1.2.3: {amd64: aaaa, arm64: bbbb}
  1.2.2: {amd64: cccc}
"""


def repository(tmp_path: Path, defaults: str = DEFAULTS) -> Path:
    role = tmp_path / "roles/thing/defaults"
    role.mkdir(parents=True)
    (role / "main.yml").write_text(defaults)
    other = tmp_path / "roles/other/defaults"
    other.mkdir(parents=True)
    (other / "main.yml").write_text("other_port: 1\n")
    return tmp_path


def test_a_role_with_pins_is_a_component_and_no_other_is(tmp_path: Path) -> None:
    (thing,) = pins.read(repository(tmp_path), "amd64")
    assert (thing.name, thing.version, thing.sha256) == ("thing", "1.2.3", "aaaa")
    assert thing.upstream == "https://publisher.example/download/v1.2.3"
    assert thing.archive == "thing-1.2.3.linux-amd64.tar.gz"


def test_the_architecture_chooses_archive_and_pin(tmp_path: Path) -> None:
    (thing,) = pins.read(repository(tmp_path), "arm64")
    assert (thing.archive, thing.sha256) == ("thing-1.2.3.linux-arm64.tar.gz", "bbbb")


def test_the_archive_of_another_version_follows_the_template(tmp_path: Path) -> None:
    (thing,) = pins.read(repository(tmp_path), "amd64")
    assert thing.archive_of("0.9") == "thing-0.9.linux-amd64.tar.gz"


def test_a_version_without_a_pin_has_an_empty_one(tmp_path: Path) -> None:
    (thing,) = pins.read(repository(tmp_path, DEFAULTS.replace("1.2.3: {", "9.9.9: {")), "amd64")
    assert thing.sha256 == ""


def test_a_changed_pin_is_another_wish(tmp_path: Path) -> None:
    (before,) = pins.read(repository(tmp_path / "a"), "amd64")
    (after,) = pins.read(repository(tmp_path / "b", DEFAULTS.replace("aaaa", "dddd")), "amd64")
    assert before.fingerprint != after.fingerprint


@pytest.mark.parametrize(
    ("defaults", "message"),
    [
        (DEFAULTS.replace("thing_flavour }}", "thing_nowhere }}"), "thing_archive in the defaults of thing"),
        ("a: [", "is no YAML"),
    ],
)
def test_unreadable_defaults_are_named(tmp_path: Path, defaults: str, message: str) -> None:
    with pytest.raises(LabError, match=message):
        pins.read(repository(tmp_path, defaults), "amd64")


def test_this_repository_s_own_roles_are_readable() -> None:
    found = {component.name: component for component in pins.read(Path(__file__).parents[3], "amd64")}
    assert all(component.archive.endswith(pins.ARCHIVE_SUFFIX) for component in found.values())
    ours = found.pop("duckdb_exporter")  # built from this checkout
    assert not ours.upstream.startswith("https://")
    assert all(component.upstream.startswith("https://") for component in found.values())
