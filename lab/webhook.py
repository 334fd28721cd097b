#!/usr/bin/env python3
"""Stands in for the webhook of a backend: writes down what Alertmanager sends, and when.

A POST to any path is one line of the file: ``{"at": seconds since 1970, "path": "/alerts", "authorization":
"Bearer ...", "notification": {...}}``. It does nothing else that a backend would do, and lets anybody in: it is for the
lab.

    webhook.py 9080 /var/lib/webhook/notifications.jsonl
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Receiver(BaseHTTPRequestHandler):
    """One request of Alertmanager."""

    protocol_version = "HTTP/1.1"  # Alertmanager keeps the connection, as it does with a real one
    file = Path()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        received = time.time()
        try:
            line = json.dumps(
                {
                    "at": received,
                    "path": self.path,
                    "authorization": self.headers.get("Authorization", ""),
                    "notification": json.loads(body),
                }
            )
        except ValueError:
            self.send_error(400, "not JSON")
            return
        with self.file.open("a", encoding="utf-8") as file:  # short enough to be written in one piece
            file.write(line + "\n")
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        """The file says it all."""


if __name__ == "__main__":
    Receiver.file = Path(sys.argv[2])
    ThreadingHTTPServer(("", int(sys.argv[1])), Receiver).serve_forever()
