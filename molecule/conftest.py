"""Fixtures of the scenarios."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from testinfra.host import Host

from tests.hosts import Play, on, run_playbook


@pytest.fixture
def mon1() -> Host:
    return on("mon1")


@pytest.fixture
def mon2() -> Host:
    return on("mon2")


@pytest.fixture
def app1() -> Host:
    return on("app1")


@pytest.fixture
def play() -> Play:
    return run_playbook


@pytest.fixture
def restored() -> Iterator[None]:
    """For tests that change the host: afterwards the scenario's own declaration is in force again."""
    yield
    run = run_playbook()
    assert run.code == 0, run.output
