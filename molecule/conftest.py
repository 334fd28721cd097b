"""Fixtures of the scenarios."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from testinfra.host import Host

from tests.hosts import Play, on, run_playbook


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On the other suites leave out, and say so, what one suite can show for all."""
    if os.environ["LAB_SUITE"] != "trixie" and (
        left_out := [item for item in items if item.get_closest_marker("once")]
    ):
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


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
