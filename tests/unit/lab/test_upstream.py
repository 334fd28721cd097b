"""A publisher that cannot be reached is waited for once."""

import urllib.error
from pathlib import Path

import pytest

from lab.upstream import NotAvailableError, Upstream


class Opener:
    """Stands in for urllib: answers every request with the same error, and counts."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.asked = 0

    def open(self, *_: object, **__: object) -> None:
        self.asked += 1
        raise self.error


def upstream(error: Exception, monkeypatch: pytest.MonkeyPatch) -> tuple[Upstream, Opener]:
    publisher, opener = Upstream(), Opener(error)
    monkeypatch.setattr(publisher, "_opener", opener)
    return publisher, opener


def test_a_dead_publisher_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publisher, opener = upstream(urllib.error.URLError("Connection refused"), monkeypatch)
    for name in ("a", "b"):
        with pytest.raises(NotAvailableError, match=r"dead\.example cannot be reached: Connection refused"):
            publisher.fetch(f"https://dead.example/{name}", tmp_path / name)
    assert opener.asked == 1
    with pytest.raises(NotAvailableError, match=r"other\.example"):
        publisher.fetch("https://other.example/c", tmp_path / "c")
    assert opener.asked == 2


def test_a_missing_archive_does_not_make_its_publisher_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = urllib.error.HTTPError("https://x.example/a", 404, "Not Found", None, None)  # type: ignore[arg-type]
    publisher, opener = upstream(missing, monkeypatch)
    for name in ("a", "b"):
        with pytest.raises(NotAvailableError, match=r"x\.example answers 404"):
            publisher.fetch(f"https://x.example/{name}", tmp_path / name)
    assert opener.asked == 2
    missing.close()
