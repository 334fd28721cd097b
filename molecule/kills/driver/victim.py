"""The daemon whose runs are killed: its binary is a copy of the host's Python, and it serves what it has loaded."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import json
import shutil
import subprocess
import sys
import tarfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path("/srv/kills")
MODULE = "ansible_collections.tds.monitoring.plugins.modules.daemon_generation"
PYTHON = Path(sys.executable).resolve().read_bytes()

NAME = "victim"
ROOT = Path("/opt/tds/victim")
CURRENT = ROOT / "current"
ETC = Path("/etc/victim")
UNIT = Path("/etc/systemd/system/victim.service")
SRV = Path("/srv/victim")
LINK = SRV / "etc"
DATA = SRV / "data"
URL = "http://127.0.0.1:19500/"
MIRROR = ("127.0.0.1", 19501)
KEEP = 2

UNIT_TEXT = """\
[Unit]
Description=Serves what it has loaded
StartLimitIntervalSec=0

[Service]
Type=exec
User=victim
Group=victim
EnvironmentFile=/opt/tds/victim/current/env
Environment=UNIT={release}
ExecStart=/opt/tds/victim/current/release/server $ARGS
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=1
ReadWritePaths=/srv/victim/data
ProtectSystem=strict
NoNewPrivileges=true

[Install]
WantedBy=multi-user.target
"""
SERVER = """\
import http.server, os, pathlib, signal, sys

etc = pathlib.Path("/etc/victim")
loaded = {}


def load(*_):
    loaded.update({name: (etc / name).read_text().strip() for name in ("value", "secret")})


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        live = (etc / "live/value").read_text().strip()
        facts = {**loaded, "live": live, "flag": sys.argv[2], "unit": os.environ["UNIT"], "release": "RELEASE"}
        self.send_response(200)
        self.end_headers()
        self.wfile.write("".join(f"victim_{name} {value}\\n" for name, value in facts.items()).encode())

    def log_request(self, *_):
        pass


load()
signal.signal(signal.SIGHUP, load)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Page).serve_forever()
"""
CHECK = "import sys; sys.exit(not open(sys.argv[1]).read().strip().isdigit())"
# Each has the same content; what is read anew for each answer takes no action.
FILES = {"value": "reload", "secret": "reload", "live/value": "none"}


@dataclass(frozen=True)
class Declared:
    """What is declared, in two numbers, of which each of its parts shows one."""

    release: int
    value: int

    def __str__(self) -> str:
        return f"release {self.release} with value {self.value}"

    @property
    def version(self) -> str:
        return f"1.{self.release}.0"

    @property
    def unit(self) -> str:
        """The text of its unit."""
        return UNIT_TEXT.format(release=self.release)

    @property
    def text(self) -> str:
        """The content of each of its files."""
        return f"{self.value}\n"

    @property
    def page(self) -> dict[str, int]:
        """What a process serves that has loaded it."""
        return dict.fromkeys(("release", "unit", "flag"), self.release) | dict.fromkeys(
            ("value", "secret", "live"), self.value
        )


@dataclass(frozen=True)
class Run:
    """How a run of the module ended, what it answered, and what else it said."""

    code: int
    answer: dict[str, Any]
    words: str


def run(wanted: Declared | None, *tracer: str) -> Run:
    """Run the module as Ansible does on a host: a process of its own, its arguments in JSON."""
    arguments, output = HERE / "arguments.json", HERE / "output"
    arguments.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": declaration(wanted)}))
    with output.open("w") as file:  # no pipe, so that the answer too is written to a path
        code = subprocess.run(
            [*tracer, sys.executable, "-B", "-m", MODULE, str(arguments)],
            cwd=HERE, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, check=False, timeout=120,
        ).returncode  # fmt: skip
    words = output.read_text()
    with suppress(ValueError):
        answer = json.loads(words)
        return Run(code, answer, str(answer.get("msg", "")))
    return Run(code, {}, words)


def declaration(wanted: Declared | None) -> dict[str, Any]:
    """The module's arguments; nothing is declared absent."""
    if wanted is None:
        return {"name": NAME, "state": "absent"}
    files = {path: {"path": path, "content": wanted.text, "action": action} for path, action in FILES.items()}
    return {
        "name": NAME,
        "user": NAME,
        "release": {
            "version": wanted.version,
            "archive": f"http://{MIRROR[0]}:{MIRROR[1]}/server-{wanted.version}.tar",
            "sha256": sha256(archive(wanted.release)),
            "binaries": ["server"],
        },
        "unit": wanted.unit,
        "arguments": ["-IS", f"{CURRENT}/release/server.py", URL.strip("/").rpartition(":")[2], str(wanted.release)],
        "secret_files": [files.pop("secret")],
        "files": list(files.values()),
        "links": {str(LINK): str(ETC)},
        "data": [str(DATA)],
        "checks": [{"command": ["{release}/server", "-IS", "-c", CHECK, "{etc}/value"]}],
        "proof": [
            {"url": URL, "metric": {"name": "victim_value", "value": wanted.value}},
            {"url": URL, "metric": {"name": "victim_release", "value": wanted.release}},
        ],
        "proof_timeout": 10,
        "keep": KEEP,
        "allow_downgrade": True,  # somebody reverts
    }


def clear() -> None:
    """Leave nothing at all of it, whatever state it is in."""
    for command in (["systemctl", "disable", "--now", UNIT.name], ["userdel", NAME]):
        subprocess.run(command, capture_output=True, check=False)
    for link in (ETC, UNIT):
        link.unlink(missing_ok=True)
    for directory in (ROOT, SRV):
        shutil.rmtree(directory, ignore_errors=True)
    subprocess.run(["systemctl", "daemon-reload"], check=True)


# --- its releases


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@functools.lru_cache(maxsize=16)
def binary(release: int) -> bytes:
    """As any other's, and with another hash."""
    return PYTHON + f"\nserver 1.{release}.0\n".encode()


@functools.lru_cache(maxsize=16)
def archive(release: int) -> bytes:
    """The release as its publisher serves it."""
    files = {"server": (binary(release), 0o755), "server.py": (SERVER.replace("RELEASE", str(release)).encode(), 0o644)}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, (content, mode) in files.items():
            member = tarfile.TarInfo(f"server-1.{release}.0/{name}")
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


class Publisher(http.server.BaseHTTPRequestHandler):
    """Serves the archives of all releases."""

    def do_GET(self) -> None:
        content = archive(int(self.path.split(".")[1]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with suppress(ConnectionError):  # who asked was killed
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def publish() -> None:
    """Serve them as long as this process lives."""
    server = http.server.ThreadingHTTPServer(MIRROR, Publisher)
    threading.Thread(target=server.serve_forever, daemon=True).start()
