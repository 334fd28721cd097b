#!/usr/bin/python3 -IB
"""Not Grafana: a program with its command line, which shows whether the role hands over what Grafana would need.

It reads `grafana.ini` and the files that this names, listens where it says, keeps a file in its data directory, answers
below the path of `root_url`, and looks for dashboards in the way in which Grafana does. Whether Grafana likes any of
it, it cannot say.
"""

from __future__ import annotations

import argparse
import configparser
import json
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

VERSION = "0.0.0"
FILE = re.compile(r"\$__file\{(.+)\}")


class Settings:
    """`grafana.ini`, with what its files hold in place of their names."""

    def __init__(self, path: Path) -> None:
        parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#", ";"))
        parser.optionxform = str  # type: ignore[assignment,method-assign]  # keys keep their case
        parser.read_string("[-]\n" + path.read_text(encoding="utf-8"))
        self.values = {name: {key: _value(text) for key, text in keys.items()} for name, keys in parser.items()}

    def __call__(self, section: str, key: str) -> str:
        return self.values[section][key]


def _value(text: str) -> str:
    if file := FILE.fullmatch(text):
        return Path(file[1]).read_text(encoding="utf-8").strip()
    return text[3:-3] if text.startswith('"""') else text


class Dashboards:
    """What is provisioned: each by its file's path, all links of the directory resolved, as Grafana knows it."""

    def __init__(self, provider: Path) -> None:
        text = provider.read_text(encoding="utf-8")
        self.directory = Path(re.search(r"path: (\S+)", text)[1])  # type: ignore[index]
        self.interval = int(re.search(r"updateIntervalSeconds: (\d+)", text)[1])  # type: ignore[index]
        self.known: dict[Path, dict[str, object]] = {}
        self.deleted = 0

    def look(self) -> None:
        directory = self.directory.resolve()
        found = sorted(directory.glob("*.json"))
        for path in set(self.known) - set(found):
            del self.known[path]
            self.deleted += 1
        for path in found:
            try:
                self.known[path] = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                print(f"dashboards: {path}: {error}", file=sys.stderr, flush=True)

    def watch(self) -> None:
        while True:
            time.sleep(self.interval)
            self.look()


def serve(settings: Settings, dashboards: Dashboards) -> None:
    base = urlsplit(settings("server", "root_url")).path.rstrip("/")
    trusted = settings("auth.proxy", "whitelist").replace(" ", "").split(",")

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.startswith(f"{base}/"):
                return self.answer(301, "", location=settings("server", "root_url"))
            path = self.path[len(base) :]
            if path == "/api/health":
                return self.answer(200, json.dumps({"database": "ok", "version": VERSION}))
            if path == "/metrics":
                build = f'grafana_build_info{{version="{VERSION}"}} 1\n'
                return self.answer(200, f"{build}stand_in_dashboards_deleted {dashboards.deleted}\n")
            user = self.headers.get(settings("auth.proxy", "header_name"))
            if not user or self.client_address[0] not in trusted:
                return self.answer(401, json.dumps({"message": "Unauthorized"}))
            if path.startswith("/api/search"):
                return self.answer(200, json.dumps(list(dashboards.known.values())))
            return self.answer(404, json.dumps({"message": "Not found"}))

        def answer(self, code: int, text: str, **headers: str) -> None:
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    address = (settings("server", "http_addr"), int(settings("server", "http_port")))
    ThreadingHTTPServer(address, Page).serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="grafana")
    parser.add_argument("command", choices=["server"])
    parser.add_argument("--homepath", required=True, type=Path)
    parser.add_argument("--config", required=True, type=Path)
    arguments = parser.parse_args()
    settings = Settings(arguments.config)
    if not (arguments.homepath / "conf/defaults.ini").is_file():
        sys.exit("homepath: no conf/defaults.ini there")
    if not all(settings("security", key) for key in ("secret_key", "admin_password")):
        sys.exit("security: secret_key or admin_password is empty")
    mail = settings.values.get("smtp", {})
    if mail.get("enabled") == "true" and "@" not in mail.get("from_address", ""):
        sys.exit("invalid email address for SMTP from_address config")
    Path(settings("paths", "data"), "grafana.db").touch()
    dashboards = Dashboards(Path(settings("paths", "provisioning"), "dashboards/dashboards.yml"))
    dashboards.look()
    threading.Thread(target=dashboards.watch, daemon=True).start()
    print("a stand-in of Grafana, which is not Grafana, listens", flush=True)
    serve(settings, dashboards)


if __name__ == "__main__":
    main()
