"""The artifact mirror: a small web server that says for each request who got how many bytes."""

from __future__ import annotations

import argparse
import functools
import json
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO


class AccessLog:
    """One JSON object a line: time (Unix seconds), client, path, status, bytes of the body."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def write(self, client: str, path: str, status: int, sent: int) -> None:
        entry = {"time": time.time(), "client": client, "path": path, "status": status}
        line = json.dumps({**entry, "bytes": sent}) + "\n"
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(line)


class _Counter:
    """Passes bytes on and counts those that the client's connection took."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self.sent = 0

    def write(self, data: bytes) -> None:
        self._target.write(data)
        self.sent += len(data)


class Handler(SimpleHTTPRequestHandler):
    """Files of one directory, read only; directories are not listed but for their name."""

    protocol_version = "HTTP/1.1"
    timeout = 60

    def __init__(self, *args: Any, log: AccessLog, **kwargs: Any) -> None:
        self._log = log
        self._status = 0
        self._body = 0
        super().__init__(*args, **kwargs)

    def handle_one_request(self) -> None:
        self._status = 0
        self._body = 0
        try:
            super().handle_one_request()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            if self._status:
                self._log.write(self.client_address[0], self.path, self._status, self._body)

    def copyfile(self, source: Any, outputfile: Any) -> None:
        counter = _Counter(outputfile)
        try:
            super().copyfile(source, counter)
        finally:
            self._body += counter.sent

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:  # noqa: ARG002  the base class gives it
        self._status = int(code) if isinstance(code, int) else 0

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class calls it so
        """Errors are in the access log already, by their status."""

    def send_head(self) -> BinaryIO | None:
        """Hidden files are parts of a download that is still being written."""
        if any(part.startswith(".") for part in Path(self.path).parts):
            self.send_error(404, "File not found")
            return None
        return super().send_head()


def serve(address: str, port: int, directory: Path, log: Path) -> None:
    """Serves until it is killed; OSError when the address cannot be bound."""
    handler = functools.partial(Handler, directory=str(directory), log=AccessLog(log))
    with ThreadingHTTPServer((address, port), handler) as server:
        server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="lab.mirror", description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    arguments = parser.parse_args()
    serve(arguments.address, arguments.port, arguments.directory, arguments.log)


if __name__ == "__main__":
    main()
