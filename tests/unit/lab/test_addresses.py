"""Names and addresses are arithmetic; what must never happen is that two hosts share one."""

import pytest

from lab import addresses
from lab.common import LabError


@pytest.mark.parametrize("name", ["a", "mon1", "trade-state", "a" * 31])
def test_good_names(name: str) -> None:
    assert addresses.check_name("host", name) == name


@pytest.mark.parametrize("name", ["", "1mon", "Mon", "a_b", "a.b", "-a", "a-", "a/b", "..", "a" * 32, "a\n"])
def test_a_bad_name_is_refused_with_the_rule(name: str) -> None:
    with pytest.raises(LabError, match="lower case letters, digits and inner hyphens"):
        addresses.check_name("host", name)


def test_lab_takes_the_first_free_number() -> None:
    assert addresses.lab_number([]) == 1
    assert addresses.lab_number([1, 2, 4]) == 3


def test_no_number_left_names_the_remedy() -> None:
    with pytest.raises(LabError, match="lab down"):
        addresses.lab_number(range(1, 251))


def test_a_host_keeps_its_index_when_others_come() -> None:
    first = addresses.host_indexes({}, ["b", "a"])
    assert first == {"b": 10, "a": 11}
    assert addresses.host_indexes(first, ["c", "a"]) == {"b": 10, "a": 11, "c": 12}


def test_addresses_of_two_labs_never_meet() -> None:
    every = [addresses.address(lab, host) for lab in (1, 2, 250) for host in addresses.HOST_INDEXES]
    assert len(set(every)) == len(every)
    assert addresses.GATEWAY not in every


def test_the_interface_name_of_any_host_fits_into_15_characters() -> None:
    longest = addresses.machine(max(addresses.LAB_NUMBERS), max(addresses.HOST_INDEXES))
    assert len(f"vb-{longest}") <= 15
