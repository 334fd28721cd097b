"""Versions and mirrors are read from what apt says."""

from pathlib import Path

import pytest

from lab import debian
from lab.common import Paths
from lab.upstream import NotAvailableError


@pytest.mark.parametrize(
    ("package", "upstream"),
    [("3.5.3+ds1-2", "3.5.3"), ("1.11.1-3", "1.11.1"), ("1:0.28.0-1+b2", "0.28.0"), ("2.0~rc1-1", "2.0")],
)
def test_upstream_version(package: str, upstream: str) -> None:
    assert debian.upstream_version(package) == upstream


def test_a_version_without_a_number_is_not_available() -> None:
    with pytest.raises(NotAvailableError, match="no number"):
        debian.upstream_version("git-2026")


def test_the_mirror_is_debian_s_own_archive_over_http() -> None:
    lines = (
        "Packages  http://packages.example/apt/\n"
        "Packages Debian mirror+file:/etc/apt/mirrors/debian.list/\n"
        "Translations Debian http://wrong.example/debian/\n"
        "Packages Debian-Security http://security.example/debian-security/\n"
        "Packages Debian http://mirror.example/debian/\n"
    )
    assert debian.first_mirror(lines) == "http://mirror.example/debian"
    assert debian.first_mirror("") == ""


def test_without_a_mirror_of_the_machine_the_base_image_s_is_taken(tmp_path: Path) -> None:
    paths = Paths(tmp_path, tmp_path)
    assert debian.image_mirror(paths) == ""
    sources = paths.images / "trixie-0123/etc/apt/sources.list"
    sources.parent.mkdir(parents=True)
    sources.write_text("# comment\ndeb http://mirror.example/debian trixie main\n")
    assert debian.image_mirror(paths) == "http://mirror.example/debian"


def test_the_environment_s_mirror_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TDS_LAB_MIRROR", "http://mine.example/debian")
    assert debian.mirror_uri() == "http://mine.example/debian"
