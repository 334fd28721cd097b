"""Files that the lab writes into a host which may have changed them since."""

from pathlib import Path

from lab.roots import with_neighbours
from lab.services import proxy_configuration

HOSTS = "127.0.0.1 localhost\n"


def test_neighbours_are_added_to_what_is_there() -> None:
    text = with_neighbours(HOSTS, {"mon1": "10.203.1.10", "app1": "10.203.1.11"})
    assert text.startswith(HOSTS)
    assert "10.203.1.10 mon1\n10.203.1.11 app1\n" in text


def test_renewing_changes_the_lab_s_lines_only() -> None:
    first = with_neighbours(HOSTS, {"mon1": "10.203.1.10"}) + "10.203.1.10 redis-trade-state\n"
    second = with_neighbours(first, {"mon1": "10.203.1.10", "app1": "10.203.1.11"})
    assert second.startswith(HOSTS)
    assert second.endswith("10.203.1.10 redis-trade-state\n")
    assert second.count("mon1") == 1
    assert with_neighbours(second, {"mon1": "10.203.1.10", "app1": "10.203.1.11"}) == second


def test_a_last_line_without_an_end_stays_a_line() -> None:
    assert "localhost\n#" in with_neighbours("127.0.0.1 localhost", {"a": "10.203.1.10"})


def test_the_proxy_is_a_way_out_to_an_https_mirror_and_to_nothing_else() -> None:
    plain = proxy_configuration(Path("/logs"), Path("/cache"), "http://mirror.example/debian")
    assert "PassThroughPattern" not in plain
    tunnel = proxy_configuration(Path("/logs"), Path("/cache"), "https://mirror.example/debian")
    assert "PassThroughPattern: ^mirror\\.example:443$\n" in tunnel
