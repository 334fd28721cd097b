"""A daemon as small as can be, which the scenario `daemon` installs on a bare host as probe."""

from __future__ import annotations

from testinfra.host import Host

from tests.hosts import page, series

URL = "http://127.0.0.1:19301/"
SERVER = """\
#!/usr/bin/python3 -I
# A daemon as small as can be: it reads its configuration at the start and at SIGHUP, and serves it.
import http.server
import pathlib
import signal
import sys


class Page(http.server.BaseHTTPRequestHandler):
    value = ""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f'probe_value {self.value}\\nprobe_version{{version="VERSION"}} 1\\n'.encode())


def read(*_):
    Page.value = pathlib.Path("/etc/probe/value").read_text().strip()


read()
signal.signal(signal.SIGHUP, read)
with pathlib.Path("/srv/probe/data/starts").open("a") as starts:
    starts.write("VERSION\\n")
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Page).serve_forever()
"""


def served(host: Host) -> dict[str, float]:
    return series(page(host, URL))


def server(version: str, value: float) -> dict[str, float]:
    return {"probe_value": value, f'probe_version{{version="{version}"}}': 1}
