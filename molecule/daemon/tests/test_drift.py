"""What somebody did on the host is shown for what it is, and put right by the next run."""

from __future__ import annotations

import re

import pytest
from testinfra.host import Host

from tests.hosts import Play, installation
from tests.probe import assert_the_declaration_is_in_force, process

testinfra_hosts = ["ansible://mon1"]

UNIT = "/etc/systemd/system/probe.service"
BY_HAND = {
    "files": (
        [
            "echo --web.max-requests=3 >>/etc/probe/flags",
            "chmod 0666 /etc/probe/textfile/value.prom",
            "chown nobody /etc/probe/note",
            "touch /etc/probe/textfile/more.prom",
            "rm /etc/probe/textfile/secret.prom",
        ],
        [
            r"flags: was edited by hand",
            r"value\.prom: mode is 0666 instead of 0640",
            r"note: owner is \d+:\d+ instead of 0:\d+",
            r"more\.prom: is not declared",
            r"secret\.prom: is missing",
        ],
        "--- before: /etc/probe/flags\n",
        "\n---web.max-requests=3\n",
    ),
    "drop-ins": (
        [
            "mkdir -p /etc/systemd/system/probe.service.d /run/systemd/system/probe.service.d",
            "printf '[Service]\\nEnvironment=GOGC=11\\n' >/etc/systemd/system/probe.service.d/gogc.conf",
            "printf '[Service]\\nTasksMax=7\\n' >/run/systemd/system/probe.service.d/tasks.conf",
            "systemctl daemon-reload",
        ],
        [
            r"/etc/systemd/system/probe\.service\.d/gogc\.conf: is a drop-in that is not declared",
            r"/run/systemd/system/probe\.service\.d/tasks\.conf: is a drop-in that is not declared",
        ],
    ),
    "a limit that was set at run time": (
        ["systemctl set-property probe.service TasksMax=9"],
        [r"/etc/systemd/system\.control/probe\.service\.d/50-TasksMax\.conf: is a drop-in that is not declared"],
    ),
    "owners and modes of the directories": (
        ["chown nobody /opt/tds/probe/generations", "chmod 0777 /opt/tds", "chmod 0600 /opt/tds/probe/journal"],
        [
            r"/opt/tds: mode is 0777 instead of 0755",
            r"generations: owner is \d+:0 instead of 0:0",
            r"journal: mode is 0600 instead of 0644",
        ],
    ),
    "service": (
        ["systemctl stop probe", "systemctl disable probe"],
        [r"probe\.service: does not run", r"probe\.service: is not enabled"],
    ),
    "mask": (
        [f"ln -sf /dev/null {UNIT}", "systemctl daemon-reload", "systemctl stop probe"],
        [r"probe\.service: is not a regular file", r"probe\.service: is masked"],
    ),
    "release, links, unit and data": (
        [
            "cp /opt/tds/probe/current/release/node_exporter /tmp/damaged",
            "echo more >>/tmp/damaged",
            "mv /tmp/damaged /opt/tds/probe/current/release/node_exporter",
            "rm /etc/probe /srv/probe/textfile",
            "rmdir /srv/probe/data",
            f"sed -i s/TasksMax=48/TasksMax=50/ {UNIT}",
            "systemctl daemon-reload",
        ],
        [
            r"node_exporter differs from the archive",
            r"runs .* \(deleted\)",
            r"/etc/probe: points at nothing instead of /opt/tds/probe/current/etc",
            r"/srv/probe/textfile: points at nothing instead of /etc/probe/textfile",
            r"/srv/probe/data: is missing",
            r"probe\.service: was edited by hand",
        ],
        "\n-TasksMax=50\n+TasksMax=48\n",
    ),
}


# What is systemd's, and so every suite's own; the rest is the module's.
OF_SYSTEMD = {"drop-ins", "a limit that was set at run time", "mask"}


@pytest.mark.parametrize(
    ("commands", "reasons", "diff"),
    [
        pytest.param(commands, reasons, diff, id=how, marks=[] if how in OF_SYSTEMD else pytest.mark.once)
        for how, (commands, reasons, *diff) in BY_HAND.items()
    ],
)
def test_what_was_done_by_hand_is_shown_and_mended(
    host: Host, play: Play, commands: list[str], reasons: list[str], diff: list[str]
) -> None:
    for command in commands:
        host.check_output(command)
    before, pid = installation(host, "probe"), process(host)
    shown = play("--check", "--diff")
    assert (shown.code, shown.changed) == (0, 1)
    # These and no other: so what the test before left unmended shows here.
    told = re.search(r"^action: \w+, because\n((?:  .*\n)+)", shown.output, re.MULTILINE)
    assert told, shown.output
    assert all(re.search(reason, told[1]) for reason in reasons), told[1]
    assert len(told[1].splitlines()) == len(reasons)
    assert all(words in shown.output for words in diff)
    assert (installation(host, "probe"), process(host)) == (before, pid)
    assert play().changed == 1
    assert_the_declaration_is_in_force(host)


def test_what_is_mended_stays_so(play: Play) -> None:
    assert play().changed == 0
