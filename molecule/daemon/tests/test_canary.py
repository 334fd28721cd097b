"""The search for secrets finds one in each of the places that it looks at: else it could not find a leak."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from testinfra.host import Host

from tests.canary import leaks

testinfra_hosts = ["ansible://bare1"]
pytestmark = pytest.mark.once

HOME = "/root"
ALLOWED = "/srv/canary/private"
# Where a secret is planted, with the command that does it, and the place that is then told.
PLANTED = {
    "a unit": ("systemd-run --quiet --unit=canary-unit --setenv=KEY={} sleep 1000", "systemctl show"),
    "a unit's file": (
        "printf '[Service]\n# {}\nExecStart=sleep 1000\n' >/run/systemd/system/canary.service; systemctl start canary",
        "systemctl cat",
    ),
    "systemd": ("systemctl set-environment CANARY={}", "the environment of systemd"),
    "arguments": ("systemd-run --quiet --unit=canary-argument sh -c 'sleep 1000; : {}'", "the arguments of sh"),
    "an environment": ("systemd-run --quiet --unit=canary-env --setenv=K={} sleep 1000", "the environment of sleep"),
    "the journal": ("echo {} | systemd-cat && journalctl --sync", "the journal"),
    "a log": ("echo {} >/var/log/canary && chmod 0600 /var/log/canary", "/var/log/canary"),
    "a file of all": ("echo {} >/etc/canary && chmod 0644 /etc/canary", "/etc/canary, which everybody can read"),
    "a file of root": ("umask 077; echo {} >~/canary", f"{HOME}/canary"),
    "a home": ("echo {} >/home/canary && chmod 0600 /home/canary", "/home/canary"),
    "a temporary file": ("umask 077; echo {} >/tmp/canary", "/tmp/canary"),  # noqa: S108  of a lab host
    "a runtime file": ("umask 077; echo {} >/run/canary", "/run/canary"),
    "shared memory": ("umask 077; echo {} >/dev/shm/canary", "/dev/shm/canary"),  # noqa: S108
    "a program": ("echo {} >/usr/local/bin/canary", "/usr/local/bin/canary, which everybody can read"),
    "a kept generation": (
        "mkdir -p /opt/tds/canary/generations/1 && umask 077; echo {} >/opt/tds/canary/generations/1/env",
        "/opt/tds/canary/generations/1/env",
    ),
    "Ansible's own files": (
        "mkdir -p ~/.ansible/tmp && umask 077; echo {} >~/.ansible/tmp/canary",
        f"{HOME}/.ansible/tmp/canary",
    ),
    "an allowed file that is open": (
        f"mkdir -p {ALLOWED} && echo {{}} >{ALLOWED}/open && chmod 0644 {ALLOWED}/open",
        f"{ALLOWED}/open, which everybody can read",
    ),
}
CLEAR = """
systemctl stop canary canary-unit canary-argument canary-env; systemctl unset-environment CANARY
rm -rf /run/systemd/system/canary.service /opt/tds/canary /srv/canary ~/.ansible/tmp/canary /usr/local/bin/canary
rm -f /var/log/canary /etc/canary ~/canary /home/canary /tmp/canary /run/canary /dev/shm/canary
journalctl --rotate && journalctl --vacuum-time=1s; systemctl daemon-reload; rmdir --ignore-fail-on-non-empty /opt/tds
"""


@pytest.fixture
def secrets(host: Host) -> Iterator[dict[str, str]]:
    """A secret of its own for each place, planted there."""
    found = {place: f"canary-{number}-of-{len(PLANTED)}" for number, place in enumerate(PLANTED)}
    for place, secret in found.items():
        host.check_output("sh -c %s", PLANTED[place][0].format(secret))
    yield found
    host.check_output(CLEAR)


def test_a_secret_is_found_wherever_it_is(host: Host, secrets: dict[str, str]) -> None:
    found = leaks(host, list(secrets.values()), allowed=[f"{ALLOWED}/*"])
    not_found = {place for place, secret in secrets.items() if (secret, PLANTED[place][1]) not in found}
    assert not_found == set()


def test_a_file_that_may_hold_it_is_not_told(host: Host) -> None:
    host.check_output(f"mkdir -p {ALLOWED} && umask 077 && echo allowed-canary >{ALLOWED}/closed")
    assert leaks(host, ["allowed-canary"], allowed=[f"{ALLOWED}/*"]) == []
    assert leaks(host, ["allowed-canary"]) == [("allowed-canary", f"{ALLOWED}/closed")]
    host.check_output("rm -r /srv/canary")


def test_a_secret_is_found_on_the_controller(host: Host) -> None:
    left = Path.home() / ".ansible/tmp/canary"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_text("controller-canary")
    try:
        found = leaks(host, ["controller-canary", "printed-canary"], output="fatal: printed-canary")
    finally:
        left.unlink()
    assert found == [("printed-canary", "the run's output"), ("controller-canary", f"{left} on the controller")]
