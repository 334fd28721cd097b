"""Mistakes in whom chrony is to follow, each told with its value and the remedy."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.tds.monitoring.plugins.filter.timesync import timesync_findings

SERVER = {"address": "192.0.2.1", "options": "iburst prefer"}


@pytest.mark.parametrize(
    ("servers", "settings"),
    [
        ([], {}),
        ([SERVER], None),
        ([{"address": "2001:db8::1"}, {"address": "time.example.com", "options": "iburst nts ntsport 4460"}], {}),
        ([{"kind": "pool", "address": "pool.example.com", "options": "maxsources 3 minpoll -2"}], {}),
        ([{"kind": "refclock", "address": "PHC", "options": "/dev/ptp0 poll 2 dpoll -2"}, SERVER], {}),
        ([{"kind": "refclock", "address": "PPS", "options": "/dev/pps0"},
          {"kind": "refclock", "address": "PPS", "options": "/dev/pps1"}], {}),
        ([SERVER], {"maxslewrate": 300, "leapsecmode": None, "rtcsync": True, "makestep": "0.5 3", "logchange": 0.1}),
    ],
)  # fmt: skip
def test_what_chrony_can_follow_is_no_finding(servers: Any, settings: Any) -> None:
    assert timesync_findings(servers, settings) == []


@pytest.mark.parametrize(
    ("servers", "told"),
    [
        ("192.0.2.1", "timesync_servers is '192.0.2.1': write a list, such as"),
        (None, "timesync_servers is None: write a list"),
        ({"address": "a"}, "timesync_servers is {'address': 'a'}: write a list"),
        (["192.0.2.1"], "timesync_servers[0] is '192.0.2.1': write {address: 192.0.2.1}"),
        ([7], "timesync_servers[0] is 7: write {address: NAME}"),
        ([{"options": "iburst"}], "timesync_servers[0].address is None: write one IP address or name"),
        ([{"address": ""}], "address is ''"),
        ([{"address": "a b"}], "address is 'a b'"),
        ([{"address": "a\nallow"}], "address is 'a\\nallow'"),
        ([{"address": "-x"}], "address is '-x'"),
        ([{"address": 192}], "address is 192"),
        ([SERVER, SERVER], "timesync_servers[1].address is '192.0.2.1': timesync_servers[0] is that too, remove one"),
        ([SERVER | {"iburst": True}], "timesync_servers[0].iburst is not known: known are address, kind, options"),
        ([SERVER | {"kind": "ntp"}], "kind is 'ntp': write one of server, pool, peer, refclock"),
        ([SERVER | {"options": ["iburst"]}], "options is ['iburst']: write one line of text"),
        ([SERVER | {"options": "iburst\nallow"}], "options is 'iburst\\nallow': write one line"),
        ([SERVER | {"options": "iburts"}], "options is 'iburts': iburts is no option of chrony; did you mean iburst?"),
        ([SERVER | {"options": "9"}], "options is '9': 9 is no option of chrony; see chrony.conf(5)"),
        ([SERVER | {"options": "minpoll"}], "options is 'minpoll': write a value behind minpoll"),
        ([SERVER | {"options": "key iburst"}], "options is 'key iburst': write a value behind key"),
        (
            [{"kind": "refclock", "address": "/dev/ptp0", "options": "poll 2"}],
            "write the driver of the reference clock",
        ),
        ([{"kind": "refclock", "address": "PHC"}], "options is '': write the device first"),
    ],
)
def test_what_it_cannot_is_told_with_its_value_and_the_remedy(servers: Any, told: str) -> None:
    (finding,) = timesync_findings(servers)
    assert told in finding
    assert finding.startswith("timesync_servers")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("makestep 1 3", "timesync_settings is 'makestep 1 3': write a mapping of directives"),
        ({"make step": 1}, "timesync_settings.make step is no name of a directive"),
        ({"server": "192.0.2.1"}, "timesync_settings.server is no setting: write servers into timesync_servers"),
        ({"include": "/etc/x"}, "timesync_settings.include is no setting"),
        ({"makestep": [1, 3]}, "timesync_settings.makestep is [1, 3]: write one line of text"),
        ({"makestep": "1 3\nallow"}, "timesync_settings.makestep is '1 3\\nallow'"),
    ],
)
def test_settings_are_directives(settings: Any, told: str) -> None:
    (finding,) = timesync_findings([SERVER], settings)
    assert told in finding


def test_all_is_told_at_once() -> None:
    wrong = [{"address": "", "options": "iburts prefr"}, {"kind": "x", "address": "b"}]
    assert len(timesync_findings(wrong, {"server": "a", "pool": "b"})) == 6
