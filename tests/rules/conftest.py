"""The promtool that judges what the role renders."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from lab.common import Paths
from tests.rules.rendering import ROOT, SHIPPED, render


@pytest.fixture(scope="session")
def promtool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lab's promtool: upstream's where it can be reached, else Debian's."""
    done = subprocess.run(
        [sys.executable, "-m", "lab", "artifacts"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        if os.environ.get("CI"):
            pytest.fail(done.stderr)
        pytest.skip(f"promtool cannot be had here: {done.stderr.strip()}")
    (archive,) = Paths.from_environment().artifacts.glob("prometheus-*.tar.gz")
    directory = tmp_path_factory.mktemp("promtool")
    with tarfile.open(archive) as tar:
        member = next(member for member in tar if member.name.endswith("/promtool"))
        member.name = "promtool"
        tar.extract(member, directory, filter="data")
    return directory / "promtool"


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the rules, their tests and the configuration are as production gets them."""
    directory = tmp_path_factory.mktemp("shipped")
    render(SHIPPED, directory)
    return directory
