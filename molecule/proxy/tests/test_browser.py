"""The door as people see it, in a real browser; what it showed is kept in build/screenshots/."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, Page, sync_playwright

from tests.hosts import ROOT, Play, address, on

NAME = "door.test"
PASSWORDS = {"vera": "vera-looks-on", "otto": "otto-operates"}
SCREENSHOTS = ROOT / "build/screenshots"
PATIENCE_MS = 30_000
missed: list[str] = []
"""What the page that was seen last complained of."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's chromium, which takes the door's own certificate and no other: its authority is not the machine's."""
    here = address(on("mon1"))
    certificate = x509.load_pem_x509_certificate(ssl.get_server_certificate((here, 443)).encode())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    known = base64.b64encode(hashlib.sha256(key).digest()).decode()
    with sync_playwright() as driver:
        arguments = [f"--host-resolver-rules=MAP {NAME} {here}", f"--ignore-certificate-errors-spki-list={known}"]
        chromium = driver.chromium.launch(
            executable_path="/usr/bin/chromium", args=arguments, chromium_sandbox=False, timeout=4 * PATIENCE_MS
        )
        yield chromium
        chromium.close()


@contextmanager
def seen(browser: Browser, path: str, user: str, *, dark: bool = False, picture: str = "") -> Iterator[Page]:
    """A page of the door as a user sees it; its picture is taken at the end. What it complained of is ``missed``."""
    context = browser.new_context(
        http_credentials={"username": user, "password": PASSWORDS[user]},
        viewport={"width": 1200, "height": 900},
        color_scheme="dark" if dark else "light",
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.on("console", lambda said: missed.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: missed.append(str(error)))
    missed.clear()
    answer = page.goto(f"https://{NAME}{path}")
    assert answer
    assert answer.status == 200
    yield page
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{picture or path.strip('/')}{'-dark' if dark else ''}.png", full_page=True)
    context.close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_landing_page_says_what_is_there_and_how_it_is(browser: Browser, dark: bool) -> None:
    with seen(browser, "/", "vera", dark=dark, picture="landing") as page:
        page.get_by_text("you are vera, viewer").wait_for()
        for name in ("prometheus", "alertmanager", "grafana"):
            page.locator(f"[data-health='/health/{name}'].well").wait_for()
        jobs = page.locator("#jobs")
        jobs.get_by_text("all up").first.wait_for()
        assert jobs.locator("tr", has_text="alertmanager").count() == 1
        assert page.locator("a[href='/prometheus/']").is_visible()
    assert missed == []


def test_the_landing_page_says_what_is_away(browser: Browser) -> None:
    on("mon1").check_output("systemctl stop alertmanager")
    try:
        with seen(browser, "/", "vera", picture="landing-ill") as page:
            page.locator("[data-health='/health/alertmanager'].ill").wait_for()
            page.locator("[data-health='/health/prometheus'].well").wait_for()
    finally:
        on("mon1").check_output("systemctl start alertmanager")


def test_alertmanager_and_prometheus_are_there(browser: Browser) -> None:
    with seen(browser, "/alertmanager/", "otto") as page:
        assert page.title()
    with seen(browser, "/prometheus/api/v1/query?query=up", "vera", picture="prometheus-api") as page:
        assert json.loads(page.locator("body").inner_text())["status"] == "success"


def test_the_report_of_verify_is_there_for_operators(browser: Browser, play: Play) -> None:
    # Not all is well: the scenario has the door and what is behind it, and no exporters.
    run = play("--skip-tags", "alert", playbook="playbooks/verify.yml")
    assert run.changed == 0, run.output
    for dark in (False, True):
        with seen(browser, "/verify/", "otto", dark=dark) as page:
            rows = page.locator("table tr")
            assert rows.count() > 5
            assert page.locator("tr", has_text="door").first.is_visible()
            assert page.locator("svg").first.is_visible()
        assert missed == []
