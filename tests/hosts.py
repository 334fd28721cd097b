"""What Molecule's scenarios share in their tests: the scenario's playbook run again, and hosts asked for facts."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testinfra import get_host
from testinfra.backend.base import CommandResult
from testinfra.host import Host

ROOT = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])
SCENARIO = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])


@dataclass(frozen=True)
class Run:
    """One run of a playbook: exit code, all it printed, and per host the counts of its recap."""

    code: int
    output: str
    recap: dict[str, dict[str, int]]

    @property
    def changed(self) -> int:
        assert self.recap, self.output  # nothing was run: not the same as nothing changed
        return sum(counts["changed"] for counts in self.recap.values())

    @property
    def reason(self) -> str:
        """The output from the first failure on, without the times of the tasks."""
        return self.output.split("PLAY RECAP")[0].partition("[ERROR]")[2]

    def tasks(self, host: str) -> int:
        """Tasks that the host took part in, skipped ones too."""
        return sum(self.recap[host][outcome] for outcome in ("ok", "skipped", "failed", "rescued", "ignored"))


Play = Callable[..., Run]


def begin_playbook(*options: str, playbook: str = "", **variables: Any) -> subprocess.Popen[str]:
    """Start a playbook (the scenario's converge playbook, or one of the repository) as a process group."""
    inventories = [ROOT / "inventories/lab", *sorted(SCENARIO.glob("inventory"))]
    path = ROOT / playbook if playbook else SCENARIO / "converge.yml"
    command = ["ansible-playbook", str(path), *options]
    command += [option for inventory in inventories for option in ("--inventory", str(inventory))]
    if variables:
        command += ["--extra-vars", json.dumps(variables)]
    plain = {**os.environ, "ANSIBLE_FORCE_COLOR": "false", "ANSIBLE_NOCOLOR": "true"}  # Molecule wants colours
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=plain,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def kill_playbook(run: subprocess.Popen[str]) -> None:
    """The playbook and all that it started: a worker of Ansible has a session of its own, and waits for its host."""
    for pid in [run.pid, *_descendants(run.pid)]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    run.communicate()


def _descendants(pid: int) -> list[int]:
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:  # it has ended by itself
        return []
    return children + [below for child in children for below in _descendants(child)]


def run_playbook(*options: str, playbook: str = "", **variables: Any) -> Run:
    """Run a playbook to its end, with further options and extra variables."""
    with begin_playbook(*options, playbook=playbook, **variables) as play:
        output, _nothing = play.communicate(timeout=900)
    recap = {
        host: {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", counts)}
        for host, counts in re.findall(r"^(\S+) +: (ok=.*)$", output, re.MULTILINE)
    }
    return Run(play.returncode, output, recap)


def lab(*words: str, text: str = "") -> str:
    """Run a verb of the lab, with a text as its standard input."""
    command = [sys.executable, "-m", "lab", *words]
    return subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True, check=True, timeout=400).stdout


def lab_name() -> str:
    """The lab of this run."""
    return os.environ["LAB_NAME"]


def on(name: str) -> Host:
    """A host of the lab by name, for tests that are about several."""
    return get_host(f"ansible://{name}?ansible_inventory={ROOT / 'inventories/lab'}")


def eventually(ask: Callable[[], Any], seconds: float) -> Any:
    """The first true answer within so many seconds; else the last one."""
    end = time.monotonic() + seconds
    while not (answer := ask()) and time.monotonic() < end:
        time.sleep(0.1)
    return answer


def address(host: Host) -> str:
    """The host's address on the lab's bridge."""
    return str(host.check_output("hostname -I")).split()[0]


CERTIFICATES = "--cacert /etc/tds/tls/ca.crt --cert /etc/tds/tls/client.pem"


def page(host: Host, url: str, seconds: float = 3) -> str:
    """What a URL answers on the host itself, to its client certificate; empty when it does not answer 200 in full."""
    certificates = CERTIFICATES if url.startswith("https") else ""
    answer = host.run(f"curl --silent --fail --max-time {seconds} {certificates} %s", url)
    return str(answer.stdout) if answer.rc == 0 else ""


def refused_at_the_handshake(answer: CommandResult) -> bool:
    """Of a curl, which sends before it has heard: the alert may come first, or the end of the connection."""
    alert = r"certificate required|unknown ca|bad certificate|reset by peer"
    return answer.rc in (55, 56) and not answer.stdout and bool(re.search(alert, answer.stderr))


def series(text: str) -> dict[str, float]:
    """Value by series (name and labels) of a page in Prometheus' text format."""
    return {name: float(value) for name, value in re.findall(r"^([^#\s][^\s{]*(?:\{.*\})?) (\S+)$", text, re.MULTILINE)}


def unit(host: Host, name: str, *properties: str) -> dict[str, str]:
    """Properties of a systemd unit; a service when its name says nothing else."""
    full_name = name if "." in name else f"{name}.service"
    shown = host.check_output("systemctl show %s --property=%s", full_name, ",".join(properties))
    return dict(line.split("=", 1) for line in shown.splitlines())


def daemons(host: Host) -> list[str]:
    """Our daemons on a host."""
    return [path.split("/")[3] for path in host.check_output("ls -d /opt/tds/*/current").split()]


def exposure(host: Host, name: str) -> float:
    """The score of `systemd-analyze security`."""
    shown = host.check_output("systemd-analyze security --no-pager %s", f"{name}.service")
    return float(re.search(r"exposure level for \S+: ([\d.]+)", shown)[1])  # type: ignore[index]


def run_record(host: Host) -> list[dict[str, Any]]:
    """The runs that changed a daemon of the host or tried to, oldest first."""
    return [json.loads(line) for line in host.check_output("cat /var/log/tds/runs.jsonl").splitlines()]


def running(host: Host, name: str) -> str:
    """The file that the main process of a service executes."""
    return str(host.check_output("readlink /proc/$(systemctl show --property=MainPID --value %s)/exe", name))


def installation(host: Host, name: str, leave_out: Sequence[str] = ()) -> str:
    """All of a daemon on a host but its data and its lock: to be compared with what it was."""
    parts = f"/opt/tds/{name} /etc/{name} /etc/systemd/system"
    wanted = "".join(f" ! -name '{pattern}'" for pattern in ("lock", *leave_out))
    names = f"find {parts}{wanted} -printf '%p %M %u:%g %l\\n' | sort"
    contents = f"find {parts} -type f{wanted} -exec sha256sum {{}} + | sort"
    return str(host.check_output(f"{names}; {contents}"))
