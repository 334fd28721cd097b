"""The account that a daemon runs as."""

from __future__ import annotations

import re

from testinfra.host import Host

from tests.hosts import Play, unit

testinfra_hosts = ["ansible://mon1"]


def test_nobody_can_log_in_as_the_daemon(host: Host) -> None:
    user = host.user("observer")
    assert (user.shell, user.groups, user.uid < 1000) == ("/usr/sbin/nologin", ["observer"], True)
    assert not host.file(user.home).exists
    assert host.check_output("passwd --status observer").split()[1] == "L"  # no password fits
    assert host.run("su --login observer --command true").rc != 0


def test_an_account_that_was_there_before_stays_and_is_told(host: Host, play: Play) -> None:
    host.check_output("systemctl stop probe")
    host.check_output(
        "usermod --shell /bin/bash --home /srv/observer --groups adm,games observer && mkdir /srv/observer"
    )
    host.check_output("systemctl start probe")
    entry = host.check_output("getent passwd observer; id observer")
    run = play()
    assert (run.code, run.changed) == (0, 0)
    told = " ".join(run.output.split())
    more = "the shell /bin/bash, the home /srv/observer, the group adm, the group games"
    assert f"the account observer has more than a daemon needs: {more}. It stays as it is" in told
    assert host.check_output("getent passwd observer; id observer") == entry

    mend = re.search(r"with probe stopped: (usermod .* --groups '' observer)", told)
    assert mend
    host.check_output(f"systemctl stop probe; {mend[1]}; systemctl start probe; rmdir /srv/observer")
    run = play()
    assert (run.changed, "more than a daemon needs" in run.output) == (0, False)
    assert unit(host, "probe", "ActiveState")["ActiveState"] == "active"
