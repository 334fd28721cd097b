"""The state file is what `down` goes by."""

from pathlib import Path

import pytest

from lab.common import LabError, Paths
from lab.state import Host, Lab, Process, State, change, find, find_host, from_json, load, to_json


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "home", tmp_path / "cache")


def example() -> State:
    process = Process(pid=42, start=1000, boot="b", cgroup="/c/l1h10")
    hosts = {"mon1": Host(10, process, disk="5G", device="/dev/loop3"), "app1": Host(11)}
    lab = Lab(number=1, suite="trixie", image="/images/trixie-1", since=12.5, hosts=hosts)
    return State({"demo": lab}, {"proxy": Process(43, 1001, "b", "/c/proxy")})


def test_what_is_saved_is_what_is_read() -> None:
    assert from_json(to_json(example())) == example()


def test_no_file_is_no_lab(paths: Paths) -> None:
    assert load(paths) == State()


def test_a_broken_file_is_an_error_that_names_it(paths: Paths) -> None:
    paths.home.mkdir()
    paths.state.write_text('{"labs": ')
    with pytest.raises(LabError, match=r"state\.json cannot be read"):
        load(paths)


def test_a_change_is_on_disk_afterwards(paths: Paths) -> None:
    with change(paths) as state:
        state.labs["demo"] = example().labs["demo"]
    assert load(paths).labs == example().labs


def test_what_was_started_before_an_error_stays_on_record(paths: Paths) -> None:
    def start_and_fail() -> None:
        with change(paths) as state:
            state.services["proxy"] = Process(1, 2, "b", "/c")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        start_and_fail()
    assert "proxy" in load(paths).services


def test_an_unknown_lab_or_host_is_told_which_there_are() -> None:
    with pytest.raises(LabError, match=r"no lab 'x' \(up now: demo\)"):
        find(example(), "x")
    with pytest.raises(LabError, match=r"no host 'x' \(it has: app1, mon1\)"):
        find_host(example().labs["demo"], "x")


def test_addresses_are_in_the_order_in_which_hosts_came() -> None:
    assert list(example().labs["demo"].addresses().items()) == [("mon1", "10.203.1.10"), ("app1", "10.203.1.11")]


def test_environment_moves_both_places() -> None:
    assert Paths.from_environment({}) == Paths(Path("/var/lib/tds-lab"), Path("/var/cache/tds-lab"))
    moved = Paths.from_environment({"TDS_LAB_HOME": "/a", "TDS_LAB_CACHE": "/b"})
    assert (moved.home, moved.cache) == (Path("/a"), Path("/b"))
