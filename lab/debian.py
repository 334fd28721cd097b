"""Releases as Debian packages, fetched by apt itself so that signatures and hashes are checked."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.common import LabError, Paths, run
from lab.upstream import NotAvailableError

SUITE = "forky"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


@dataclass(frozen=True)
class Source:
    """Where a component is to be found in Debian."""

    packages: tuple[str, ...]
    """The first one's version is the component's."""
    binaries: Mapping[str, str]
    """{name in upstream's archive: path in the packages}"""
    guest_files: tuple[str, ...] = field(default=())
    """Directories that Debian's build needs on the host where it runs; upstream's has them inside."""
    flat: bool = False
    """Whether upstream's archive has no directory at its top."""


SOURCES = {
    "prometheus": Source(
        ("prometheus", "promtool"),
        {"prometheus": "usr/bin/prometheus", "promtool": "usr/bin/promtool"},
    ),
    "alertmanager": Source(
        ("prometheus-alertmanager",),
        {"alertmanager": "usr/bin/prometheus-alertmanager", "amtool": "usr/bin/amtool"},
        guest_files=("usr/share/prometheus/alertmanager",),
    ),
    "node_exporter": Source(("prometheus-node-exporter",), {"node_exporter": "usr/bin/prometheus-node-exporter"}),
    "redis_exporter": Source(("prometheus-redis-exporter",), {"redis_exporter": "usr/bin/prometheus-redis-exporter"}),
    "blackbox_exporter": Source(
        ("prometheus-blackbox-exporter",),
        {"blackbox_exporter": "usr/bin/prometheus-blackbox-exporter"},
    ),
    "proxy": Source(("caddy",), {"caddy": "usr/bin/caddy"}, flat=True),
}

_APT_CONFIGURATION = """\
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::State "{root}/state";
Dir::State::status "{root}/state/status";
Dir::Cache "{root}/cache";
Dir::Etc::sourcelist "{root}/debian.sources";
Dir::Etc::sourceparts "{root}/none";
Dir::Etc::preferences "{root}/none";
Dir::Etc::preferencesparts "{root}/none";
APT::Sandbox::User "root";
Acquire::Check-Valid-Until "false";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
"""

_SOURCES = """\
Types: deb
URIs: {mirror}
Suites: {suite}
Components: main
Signed-By: {keyring}
Targets: Packages
"""


def mirror_uri() -> str:
    """The Debian mirror that this machine's own apt uses, empty when it has none over http(s).

    The environment's TDS_LAB_MIRROR goes before it.
    """
    if given := os.environ.get("TDS_LAB_MIRROR"):
        return given
    form = "--format=$(CREATED_BY) $(LABEL) $(REPO_URI)"
    return first_mirror(run(["apt-get", "indextargets", form]))


def first_mirror(lines: str) -> str:
    """The first repository of Debian proper among lines of `creator label URI`."""
    for line in lines.splitlines():
        fields = line.split()
        if fields[:2] == ["Packages", "Debian"] and fields[2].startswith(("http://", "https://")):
            return fields[2].rstrip("/")
    return ""


def image_mirror(paths: Paths) -> str:
    """The mirror that the newest base image was made from, empty when there is no image.

    On a machine that has no Debian mirror of its own it is mmdebstrap's choice.
    """
    files = paths.images.glob("*/etc/apt/sources.list")
    for path in sorted(files, key=lambda path: path.stat().st_mtime, reverse=True):
        if match := re.search(r"^deb(?: \[.*\])? (https?://\S+?)/? ", path.read_text(), re.MULTILINE):
            return match[1]
    return ""


def upstream_version(package_version: str) -> str:
    """Upstream's version of a Debian package version: `3.5.3` of `3.5.3+ds1-2`."""
    match = re.match(r"(?:\d+:)?(\d+(?:\.\d+)*)", package_version)
    if match is None:
        raise NotAvailableError(f"Debian's version {package_version} has no number in it")
    return match[1]


class Packages:
    """A private apt of suite forky: nothing of it touches the machine's own."""

    def __init__(self, root: Path, mirror: str) -> None:
        self._root = root
        self._mirror = mirror
        self._updated = False

    def fetch(self, component: str, into: Path) -> str:
        """Unpacks a component's packages into the directory; `PACKAGE VERSION` of the first one.

        NotAvailableError when Debian does not have it or cannot be reached.
        """
        if component not in SOURCES:
            raise NotAvailableError("not in Debian")
        names = SOURCES[component].packages
        try:
            self._update()
            files = self._download(names, into)
            for file in files.values():
                run(["dpkg-deb", "--extract", str(file), str(into)], timeout=120)
            version = run(["dpkg-deb", "--field", str(files[names[0]]), "Version"]).strip()
        except LabError as error:
            raise NotAvailableError(str(error)) from error
        return f"{names[0]} {version}"

    def _download(self, names: tuple[str, ...], into: Path) -> dict[str, Path]:
        """{package: file}; apt leaves the files in its working directory."""
        target = into / "packages"
        target.mkdir(parents=True)
        self._apt(["download", *names], target)
        return {name: next(target.glob(f"{name}_*.deb")) for name in names}

    def _update(self) -> None:
        if self._updated:
            return
        if not self._mirror:
            raise LabError("no Debian mirror is known: set TDS_LAB_MIRROR to the URI of one")
        for name in ("state/lists/partial", "cache/archives/partial", "none"):
            (self._root / name).mkdir(parents=True, exist_ok=True)
        (self._root / "state/status").touch()
        self._write("apt.conf", _APT_CONFIGURATION.format(root=self._root))
        sources = _SOURCES.format(mirror=self._mirror, suite=SUITE, keyring=KEYRING)
        self._write("debian.sources", sources)
        self._apt(["--error-on=any", "update"], self._root)
        self._updated = True

    def _write(self, name: str, text: str) -> None:
        (self._root / name).write_text(text, encoding="utf-8")

    def _apt(self, arguments: list[str], directory: Path) -> None:
        argv = ["apt-get", f"--config-file={self._root / 'apt.conf'}", "--quiet=2", *arguments]
        done = subprocess.run(argv, cwd=directory, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0:
            words = " ".join((done.stderr or done.stdout).split())[-500:]
            raise LabError(f"apt-get {arguments[-1]}: {words}")
