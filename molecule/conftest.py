"""Fixtures of the scenarios."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hosts import Play, run_playbook


@pytest.fixture
def play() -> Play:
    return run_playbook


@pytest.fixture
def restored() -> Iterator[None]:
    """For tests that change the host: afterwards the scenario's own declaration is in force again."""
    yield
    run = run_playbook()
    assert run.code == 0, run.output
