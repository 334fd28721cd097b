"""Debian's chromium at the door, and pictures of what it showed.

with browser("door.test", "192.0.2.10") as there, there.seen("/", "vera") as page:
    page.get_by_text("Monitoring").wait_for()
assert there.missed == []
"""

from __future__ import annotations

import base64
import hashlib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, Page, sync_playwright

from tests.hosts import ROOT

PASSWORDS = {"vera": "vera-looks-on", "otto": "otto-operates"}
SCREENSHOTS = ROOT / "build/screenshots"
PATIENCE_MS = 30_000


@dataclass
class There:
    """A browser for the door of that name. ``missed`` is what the page that was seen last complained of."""

    chromium: Browser
    name: str
    missed: list[str] = field(default_factory=list)

    @contextmanager
    def seen(self, path: str, user: str, *, dark: bool = False, picture: str = "") -> Iterator[Page]:
        """A page as a user sees it who has just come; its picture is taken at the end."""
        context = self.chromium.new_context(
            http_credentials={"username": user, "password": PASSWORDS[user]},
            viewport={"width": 1200, "height": 900},
            color_scheme="dark" if dark else "light",
        )
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        self.missed.clear()
        page.on("console", lambda said: self.missed.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.missed.append(str(error)))
        answer = page.goto(f"https://{self.name}{path}")
        assert answer
        assert answer.status == 200
        yield page
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{picture or path.strip('/')}{'-dark' if dark else ''}.png", full_page=True)
        context.close()


@contextmanager
def browser(name: str, address: str) -> Iterator[There]:
    """It takes the door's own certificate and no other: its authority is not the machine's."""
    certificate = x509.load_pem_x509_certificate(ssl.get_server_certificate((address, 443)).encode())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    known = base64.b64encode(hashlib.sha256(key).digest()).decode()
    with sync_playwright() as driver:
        arguments = [f"--host-resolver-rules=MAP {name} {address}", f"--ignore-certificate-errors-spki-list={known}"]
        chromium = driver.chromium.launch(
            executable_path="/usr/bin/chromium", args=arguments, chromium_sandbox=False, timeout=4 * PATIENCE_MS
        )
        yield There(chromium, name)
        chromium.close()
