"""Bytes are counted for a lab's own addresses, and from its own beginning."""

import json
from pathlib import Path

from lab import traffic
from lab.common import Paths
from lab.services import mirror_log, proxy_log
from lab.state import Host, Lab

PROXY = """\
1000|O|111|10.203.1.10|debian/dists/trixie/InRelease
2000|I|700|10.203.1.10|debian/pool/main/n/nginx.deb
2000|O|705|10.203.1.10|debian/pool/main/n/nginx.deb
2001|O|20|10.203.1.11|debian/pool/main/r/redis.deb
2002|O|9999|10.203.2.10|debian/pool/main/r/redis.deb
half a li
"""

MIRROR = [
    {"time": 1999.4, "client": "10.203.1.10", "path": "/a", "status": 200, "bytes": 1},
    {"time": 2000.6, "client": "10.203.1.10", "path": "/a", "status": 200, "bytes": 300},
    {"time": 2000.7, "client": "10.203.2.10", "path": "/a", "status": 200, "bytes": 4000},
    {"time": 2000.8, "client": "10.203.1.11", "path": "/b", "status": 404, "bytes": 0},
]


def lab() -> Lab:
    return Lab(1, "trixie", "/image", since=2000.5, hosts={"a": Host(10), "b": Host(11)})


def test_a_lab_s_traffic_is_its_own(tmp_path: Path) -> None:
    paths = Paths(tmp_path, tmp_path)
    for path, text in ((proxy_log(paths), PROXY), (mirror_log(paths), "\n".join(map(json.dumps, MIRROR)) + "\n{")):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    assert traffic.traffic(lab(), paths) == {"mirror_bytes": 300, "proxy_bytes": 725}


def test_no_log_is_no_traffic(tmp_path: Path) -> None:
    assert traffic.traffic(lab(), Paths(tmp_path, tmp_path)) == {"mirror_bytes": 0, "proxy_bytes": 0}
