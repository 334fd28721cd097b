"""The scenario's hosts by name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from testinfra.host import Host

from tests.firewall import TRADING, Trade, trading
from tests.hosts import on


@pytest.fixture
def out1() -> Host:
    return on("out1")


@pytest.fixture
def trade(out1: Host, app1: Host) -> Iterator[Trade]:
    with trading(out1, app1, TRADING) as client:
        yield client
