"""A base image is built anew when, and only when, its recipe changes."""

import dataclasses
import os
import time
from pathlib import Path

import pytest

from lab import images
from lab.common import LabError, Paths, Progress
from lab.images import Recipe
from lab.state import Lab, State

RECIPE = Recipe("trixie", "http://mirror.example/debian")


def test_the_same_recipe_has_the_same_stamp() -> None:
    assert RECIPE.stamp == Recipe("trixie", "http://mirror.example/debian").stamp


@pytest.mark.parametrize(
    "change",
    [
        {"suite": "forky"},
        {"mirror": "http://other.example/debian"},
        {"packages": (*images.PACKAGES, "nginx")},
        {"masked": ()},
        {"files": (("etc/motd", "hello"),)},
        {"user": "somebody"},
        {"format": 99},
    ],
)
def test_any_change_of_the_recipe_changes_the_stamp(change: dict[str, object]) -> None:
    assert dataclasses.replace(RECIPE, **change).stamp != RECIPE.stamp  # type: ignore[arg-type]


def test_only_a_virtual_machine_has_a_kernel() -> None:
    container, machine = (images.recipe("trixie", "", kind) for kind in ("container", "vm"))
    assert images.KERNEL in machine.packages
    assert images.KERNEL not in container.packages
    assert container == Recipe("trixie", "")


def test_a_complete_image_is_used_as_it_is(tmp_path: Path) -> None:
    paths = Paths(tmp_path, tmp_path)
    image = paths.images / f"trixie-{RECIPE.stamp}"
    image.mkdir(parents=True)
    assert images.ensure(RECIPE, paths, Progress()) == image


def test_a_failed_build_leaves_no_image_and_shows_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin/mmdebstrap"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'E: the mirror is gone' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    paths = Paths(tmp_path, tmp_path)
    with pytest.raises(LabError, match="the mirror is gone"):
        images.ensure(RECIPE, paths, Progress())
    assert not (paths.images / f"trixie-{RECIPE.stamp}").exists()


def test_only_old_unused_images_are_removed(tmp_path: Path) -> None:
    paths = Paths(tmp_path, tmp_path)
    old, used, fresh, newest = (paths.images / f"trixie-{c * 12}" for c in "abcd")
    long_ago = time.time() - 2 * images.KEEP_UNUSED
    for image, date in ((old, long_ago), (used, long_ago), (fresh, time.time() - 60), (newest, time.time())):
        image.mkdir(parents=True)
        os.utime(image, (date, date))
    images.prune(State({"demo": Lab(1, "trixie", str(used), 0.0)}), paths)
    assert sorted(paths.images.iterdir()) == [used, fresh, newest]


def test_what_a_killed_build_had_mounted_is_known() -> None:
    mountinfo = """\
22 1 254:0 / / rw - ext4 /dev/vda rw
30 22 0:25 / /cache/trixie-1.new/proc rw - proc proc rw
31 30 0:26 / /cache/trixie-1.new/proc/sys ro - proc proc rw
32 22 0:27 / /cache/trixie-1.newer rw - tmpfs tmpfs rw
"""
    found = images.mounted_below(Path("/cache/trixie-1.new"), mountinfo)
    assert found == ["/cache/trixie-1.new/proc", "/cache/trixie-1.new/proc/sys"]
