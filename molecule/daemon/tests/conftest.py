"""Releases made for a test, and the module without its role."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import ROOT, Play, Run
from tests.little_server import SERVER, URL


@pytest.fixture
def release(tmp_path: Path) -> Callable[[str, str], dict[str, Any]]:
    """Makes a release in a directory of the controller; the answer is the variables that declare it."""

    def make(version: str, program: str) -> dict[str, Any]:
        archive = tmp_path / f"server-{version}.tar"
        with tarfile.open(archive, "w") as tar:
            binary = tarfile.TarInfo(f"server-{version}/server")
            binary.size, binary.mode = len(program), 0o755
            tar.addfile(binary, io.BytesIO(program.encode()))
        return {
            "daemon_artifact_source": str(tmp_path),
            "daemon_archive": archive.name,
            "daemon_version": version,
            "daemon_pins": {version: {"amd64": hashlib.sha256(archive.read_bytes()).hexdigest()}},
            "daemon_binaries": ["server"],
        }

    return make


@pytest.fixture
def module() -> Callable[..., dict[str, Any]]:
    """Runs daemon_generation on a host by itself; the answer is its result."""

    def run(host: str, **arguments: Any) -> dict[str, Any]:
        command = ["ansible", host, "--inventory", str(ROOT / "inventories/lab")]
        command += ["--module-name", "tds.monitoring.daemon_generation", "--args", json.dumps(arguments)]
        plain = {**os.environ, "ANSIBLE_FORCE_COLOR": "false", "ANSIBLE_NOCOLOR": "true"}
        done = subprocess.run(command, cwd=ROOT, env=plain, capture_output=True, text=True, check=False, timeout=60)
        result: dict[str, Any] = json.loads(done.stdout.split("=> ", 1)[1])
        return result

    return run


@pytest.fixture
def declare(play: Play, release: Callable[[str, str], dict[str, Any]]) -> Callable[..., Run]:
    """Runs the play on the bare host with the little server, in that version and with that value."""

    def run(*options: str, version: str = "1.0.0", value: int = 1, program: str = SERVER, **variables: Any) -> Run:
        declaration = {
            **release(version, program.replace("VERSION", version)),
            "daemon_arguments": ["19301"],
            "daemon_environment": {},
            "daemon_files": [{"path": "value", "content": f"{value}\n", "action": "reload"}],
            "daemon_secret_files": [],
            "daemon_links": {},
            "daemon_checks": [],
            "daemon_proof": [
                {"url": URL, "metric": {"name": "probe_value", "value": value}},
                {"url": URL, "metric": {"name": "probe_version", "labels": {"version": version}}},
            ],
        }
        return play(*options, probe_hosts="bare1", **declaration | variables)

    return run
