"""Through the door, logged in, against straight to Prometheus on loopback; and a user's answers under a flood.

Writes ``bench/results/proxy.json``: for ``direct`` and ``door``, and of each for ``instant`` (one instant query) and
``large`` (an answer of 1 MB), ``rps`` with 16 connections, and ``p50_ms`` and ``p99_ms`` with two, which leave the
processors time. ``flood`` has the ``p99_ms`` of a user who asks 50 times a second while another address tries
distinct wrong passwords by 32 connections, and how many of those were answered a second. wrk runs on the host itself,
on the same processors.

    python3 -m bench.proxy [SECONDS]     of each measurement, 20 unless said
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench.hosts import lab, play, save
from tests.door import Door, basic, exchange
from tools.password_hash import password_hash

LAB, NAME, USER = "bench-proxy", "door.test", ("vera", "vera-looks-on")
PORT = 9090
UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
POINTS, SERIES = 11_000, 5
"""Of a range query whose answer has 1 MB."""
WRONG = """\
local n = 0
request = function()
  n = n + 1
  -- "vera:w", and six bytes that are another each time
  wrk.headers["Authorization"] = "Basic dmVyYTp3" .. string.format("%08d", n)
  return wrk.format("GET", "/who")
end
"""


def on(command: str) -> str:
    return lab("ssh", LAB, "mon1", command)


def large() -> str:
    """The path of a query with a large answer."""
    end = int(time.time())
    series = " or ".join(f'label_replace(vector(1), "n", "{n}", "", "")' for n in range(SERIES))
    return f"/api/v1/query_range?query={quote(series)}&start={end - POINTS + 1}&end={end}&step=1"


def wrk(url: str, connections: int, seconds: int) -> dict[str, float]:
    """Requests a second, and percentiles of the time of one in ms. All must be answered 200."""
    name, value = next(iter(basic(USER).items()))
    options = f"--threads 2 --connections {connections} --duration {seconds}s --latency"
    shown = on(f"wrk {options} --header 'Host: {NAME}' --header '{name}: {value}' '{url}'")
    if "Non-2xx" in shown or "Socket errors" in shown:
        sys.exit(shown)
    times = {
        percent: float(n) * UNITS_MS[unit] for percent, n, unit in re.findall(r"(\d+)% +([\d.]+)(us|ms|s|m)", shown)
    }
    rate = re.search(r"Requests/sec: +([\d.]+)", shown)
    return {"rps": float(rate[1]) if rate else 0.0, "p50_ms": times["50"], "p99_ms": times["99"]}


def measured(base: str, path: str, seconds: int) -> dict[str, float]:
    wrk(base + path, 2, 2)  # the password is verified, and the query is compiled
    busy, calm = wrk(base + path, 16, seconds), wrk(base + path, 2, seconds)
    return {"rps": round(busy["rps"]), "p50_ms": round(calm["p50_ms"], 2), "p99_ms": round(calm["p99_ms"], 2)}


def flooded(door: Door, seconds: int) -> dict[str, float]:
    """A valid user's times while wrong passwords come from another address."""
    on(f"cat >/tmp/wrong.lua <<'END'\n{WRONG}END")
    flood = f"wrk --threads 1 --connections 32 --timeout 60s --duration {seconds + 2}s --script /tmp/wrong.lua"
    shown: list[str] = []
    attack = threading.Thread(target=lambda: shown.append(on(f"{flood} https://{door.address}/who")))
    session, times = door.session(), []
    exchange(session, "/who", user=USER)
    attack.start()
    time.sleep(1)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        before = time.perf_counter()
        status = exchange(session, "/prometheus/api/v1/query?query=up", user=USER).status
        times.append(time.perf_counter() - before)
        if status != 200:
            sys.exit(f"a valid user is answered {status}")
        time.sleep(0.02)
    attack.join()
    rate = re.search(r"Requests/sec: +([\d.]+)", shown[0])
    return {
        "p50_ms": round(statistics.median(times) * 1000, 2),
        "p99_ms": round(statistics.quantiles(times, n=100)[98] * 1000, 2),
        "wrong_passwords_per_s": float(rate[1]) if rate else 0.0,
    }


def provision() -> None:
    users = [{"name": USER[0], "role": "viewer", "password_hash": password_hash(USER[1], USER[1])}]
    variables: dict[str, Any] = {
        "proxy_state": "present",
        "proxy_name": NAME,
        "proxy_users": users,
        "monitored_services": {},
        "alertmanager_receivers": [{"name": "nobody_yet", "webhook_configs": [{"url": "http://127.0.0.1:9/"}]}],
        "alertmanager_heartbeat": {},
        "firewall_state": "absent",
    }
    play(LAB, "site.yml", variables)
    on("apt-get install --quiet=2 --yes --no-install-recommends wrk >/dev/null")


def main(seconds: int) -> None:
    lab("up", LAB, "mon1")
    try:
        provision()
        address = on("hostname -I").split()[0]
        with tempfile.TemporaryDirectory() as directory:
            authority = Path(directory, "ca.crt")
            authority.write_text(on("cat /etc/tds/tls/ca.crt"), encoding="utf-8")
            door = Door(address, 443, NAME, authority)
            paths = {"instant": "/api/v1/query?query=up", "large": large()}
            bases = {"direct": f"http://127.0.0.1:{PORT}", "door": f"https://{address}/prometheus"}
            result: dict[str, Any] = {
                way: {kind: measured(base, path, seconds) for kind, path in paths.items()}
                for way, base in bases.items()
            }
            result["flood"] = flooded(door, seconds)
        save("proxy", result)
        print(result)
    finally:
        lab("down", LAB)


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error}\n{error.stdout}")
