"""The mirror's archives: upstream's where it can be reached, else Debian's packages repacked; our own are built here.

`state.json` beside the archives says what there is:
`{"available": {component: {version, archive, sha256, origin, wanted}},
"unavailable": {component: {version, reason, wanted}}}`,
where `wanted` is what the roles asked for when the answer was found.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab import debian, duckdb_archive, pins, repack
from lab.common import LabError, Paths, Progress, architecture
from lab.grafana import archive as grafana_archive
from lab.pins import Component
from lab.state import lock, write_atomically
from lab.upstream import NotAvailableError, Upstream

UPSTREAM = "upstream"
BUILT = "this checkout"
REPOSITORY = Path(__file__).resolve().parents[1]
BUILDERS = {duckdb_archive.COMPONENT: duckdb_archive, grafana_archive.COMPONENT: grafana_archive}
"""What builds the components that are our own."""


class Cache:
    """The directory that the mirror serves, with the record of where each archive came from."""

    def __init__(self, paths: Paths) -> None:
        self.directory = paths.artifacts
        self._guest_files = paths.guest_files
        self.directory.mkdir(parents=True, exist_ok=True)
        self.available: dict[str, dict[str, Any]] = {}
        self.unavailable: dict[str, dict[str, Any]] = {}
        try:
            data = json.loads((self.directory / "state.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return
        self.available, self.unavailable = data["available"], data["unavailable"]

    def answer(self, component: Component) -> dict[str, Any] | None:
        """What is known of exactly this wish; None when it has to be found out."""
        entry = self.available.get(component.name) or self.unavailable.get(component.name)
        if entry is None or entry["wanted"] != component.fingerprint:
            return None
        if "archive" in entry and not (self.directory / entry["archive"]).exists():
            return None
        return entry

    def part(self, component: Component) -> Path:
        """Where to write an archive before it is known to be good; the mirror hides it."""
        return self.directory / f".{component.name}.part"

    def keep(self, component: Component, part: Path, version: str, archive: str, origin: str) -> None:
        """Takes a complete archive over, under its name."""
        digest = repack.sha256(part)
        part.replace(self.directory / archive)
        if origin == UPSTREAM:
            shutil.rmtree(self._guest_files / component.name, ignore_errors=True)
        self.unavailable.pop(component.name, None)
        self.available[component.name] = {
            "version": version,
            "archive": archive,
            "sha256": digest,
            "origin": origin,
            "wanted": component.fingerprint,
        }

    def miss(self, component: Component, reason: str) -> None:
        self.available.pop(component.name, None)
        self.unavailable[component.name] = {
            "version": component.version,
            "reason": reason,
            "wanted": component.fingerprint,
        }

    def save(self, wanted: Iterable[str]) -> None:
        """Writes the record, without components that no role wants any more."""
        names = set(wanted)
        for entries in (self.available, self.unavailable):
            for name in set(entries) - names:
                del entries[name]
        sums = sorted((entry["archive"], entry["sha256"]) for entry in self.available.values())
        text = "".join(f"{digest}  {archive}\n" for archive, digest in sums)
        write_atomically(self.directory / "sha256sums.txt", text)
        data = {"available": self.available, "unavailable": self.unavailable}
        write_atomically(self.directory / "state.json", json.dumps(data, indent=2) + "\n")

    def rows(self, components: Iterable[Component]) -> list[list[str]]:
        """Rows of component, version, archive and origin for a table."""
        rows = []
        for one in components:
            if entry := self.available.get(one.name):
                rows.append([one.name, entry["version"], entry["archive"], entry["origin"]])
            else:
                reason = self.unavailable[one.name]["reason"]
                rows.append([one.name, one.version, "-", f"not available: {reason}"])
        return rows


def wanted(repository: Path) -> list[Component]:
    """What the roles and the scenarios want, and which of it is built from the checkout."""
    of_roles = [
        replace(one, built_from=duckdb_archive.digest(REPOSITORY)) if one.name == duckdb_archive.COMPONENT else one
        for one in pins.read(repository, architecture())
    ]
    return [*of_roles, *grafana_archive.components(repository, architecture())]


def ensure(repository: Path, paths: Paths, progress: Progress) -> None:
    """Fills the cache when it has no answer for a pin; otherwise it costs reading some files."""
    components = wanted(repository)
    cache = Cache(paths)
    if all(cache.answer(component) for component in components):
        return
    for component, version, _, origin in fill(repository, paths, progress):
        progress(f"artifacts: {component} {version}: {origin}")


def fill(
    repository: Path,
    paths: Paths,
    progress: Progress,
    source: Path | None = None,
    *,
    refresh: bool = False,
) -> list[list[str]]:
    """Finds what has no answer yet, and says where everything is from: rows for a table.

    `source` is a directory whose archives go before all else where they fit the pins, or one such archive. `refresh`
    forgets the answers that were not upstream.

    Raises:
        LabError: `source` is an archive, and none that a role has pinned.
    """
    components = wanted(repository)
    if source is not None and not source.is_dir():
        _refuse_unless_pinned(source, components)
    with lock(paths, "artifacts", lambda: progress("artifacts: another command fills the cache")):
        cache = Cache(paths)
        again = [one for one in components if _is_open(cache, one, source, refresh=refresh)]
        again = [one for one in again if not _from_directory(cache, one, source)]
        again = [one for one in again if refresh or cache.answer(one) is None]
        if again:
            _fetch_all(cache, again, paths, progress)
        cache.save(one.name for one in components)
        return cache.rows(components)


def _is_open(cache: Cache, component: Component, source: Path | None, *, refresh: bool) -> bool:
    entry = cache.answer(component)
    return entry is None or ((refresh or source is not None) and entry.get("origin") != UPSTREAM)


def _refuse_unless_pinned(archive: Path, components: Iterable[Component]) -> None:
    if not archive.is_file():
        raise LabError(f"{archive} is neither a directory nor a file")
    named = [one for one in components if one.archive == archive.name]
    if not named:
        raise LabError(
            f"{archive.name} is no archive that a role wants: {', '.join(one.archive for one in components)}"
        )
    if (digest := repack.sha256(archive)) != named[0].sha256:
        raise LabError(f"{archive}: its sha256 is {digest}, {named[0].name}_pins has {named[0].sha256 or 'none'}")


def _from_directory(cache: Cache, component: Component, source: Path | None) -> bool:
    archive = source / component.archive if source and source.is_dir() else source
    if archive is None or archive.name != component.archive or not archive.is_file():
        return False
    part = cache.part(component)
    shutil.copyfile(archive, part)
    try:
        _keep_upstream(cache, component, part)
    except NotAvailableError as error:
        cache.miss(component, f"{archive}: {error}")
        return False
    return True


def _keep_upstream(cache: Cache, component: Component, part: Path) -> None:
    """Keeps an archive that fits its pin; otherwise it is deleted and NotAvailableError raised."""
    digest = repack.sha256(part)
    if digest != component.sha256:
        part.unlink()
        pinned = component.sha256 or f"nothing for {component.architecture}"
        raise NotAvailableError(f"its sha256 is {digest}, pinned is {pinned}")
    cache.keep(component, part, component.version, component.archive, UPSTREAM)


def _fetch_all(cache: Cache, components: list[Component], paths: Paths, progress: Progress) -> None:
    upstream = Upstream()
    reasons: dict[str, str] = {}
    for component in components:
        if component.built_from:
            progress(f"artifacts: {component.name} {component.version} from this checkout")
            _build(cache, component, progress)
            continue
        progress(f"artifacts: {component.name} {component.version} from upstream")
        try:
            _from_upstream(cache, component, upstream)
        except NotAvailableError as error:
            reasons[component.name] = str(error)
    left = [component for component in components if component.name in reasons]
    if not left:
        return
    for reason in sorted(set(reasons.values())):
        progress(f"artifacts: {reason}")
    packages = debian.Packages(paths.cache / "apt", debian.mirror_uri() or debian.image_mirror(paths))
    with ThreadPoolExecutor(max_workers=2) as pool:
        futures = []
        for component in left:
            if component.name in debian.SOURCES:
                progress(f"artifacts: {component.name} from Debian {debian.SUITE}")
            try:
                unpacked = _unpack(component, packages)
            except NotAvailableError as error:
                cache.miss(component, f"{reasons[component.name]}; {error}")
                continue
            futures.append(pool.submit(_repack, cache, component, *unpacked, paths))
        for future in futures:
            future.result()


def _build(cache: Cache, component: Component, progress: Progress) -> None:
    part = cache.part(component)
    try:
        builder = BUILDERS[component.name]
        builder.build(REPOSITORY, part, name=component.archive, machine=component.architecture)
    except NotAvailableError as error:
        cache.miss(component, str(error))
        return
    if component.sha256 and repack.sha256(part) != component.sha256:
        progress(f"artifacts: the role's pin of {component.name} is another: `make duckdb-exporter-archive` says which")
    cache.keep(component, part, component.version, component.archive, BUILT)


def _from_upstream(cache: Cache, component: Component, upstream: Upstream) -> None:
    if not component.sha256:
        raise NotAvailableError(f"{component.version} has no pin for {component.architecture}")
    part = cache.part(component)
    upstream.fetch(f"{component.upstream}/{component.archive}", part)
    _keep_upstream(cache, component, part)


def _unpack(component: Component, packages: debian.Packages) -> tuple[tempfile.TemporaryDirectory[str], str]:
    directory = tempfile.TemporaryDirectory(prefix="tds-lab-")
    try:
        return directory, packages.fetch(component.name, Path(directory.name))
    except BaseException:
        directory.cleanup()
        raise


def _repack(
    cache: Cache,
    component: Component,
    directory: tempfile.TemporaryDirectory[str],
    package: str,
    paths: Paths,
) -> None:
    source = debian.SOURCES[component.name]
    version = debian.upstream_version(package.split()[1])
    archive = component.archive_of(version)
    part = cache.part(component)
    with directory as root:
        files = {name: Path(root, path) for name, path in source.binaries.items()}
        repack.pack(part, files, name=archive, flat=source.flat)
        for tree in source.guest_files:
            target = paths.guest_files / component.name / tree
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(Path(root, tree), target, symlinks=True)
    origin = f"Debian {debian.SUITE} {package}"
    cache.keep(component, part, version, archive, origin)
