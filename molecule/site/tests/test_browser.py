"""A newcomer's way through the door of the whole site, in a real browser; pictures in build/screenshots/."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.browser import There, browser
from tests.hosts import address, on, run_playbook

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def there() -> Iterator[There]:
    with browser("mon1", address(on("mon1"))) as it:
        yield it


def test_the_landing_page_shows_every_job_and_who_one_is(there: There) -> None:
    with there.seen("/", "vera", picture="site-landing") as page:
        page.get_by_text("you are vera, viewer").wait_for()
        for name in ("prometheus", "alertmanager"):
            page.locator(f"[data-health='/health/{name}'].well").wait_for()
        for job in ("redis", "backend", "duckdb", "clickhouse", "rust-trade-engine", "node", "proxy"):
            page.locator("#jobs tr", has_text=job).get_by_text("all up").first.wait_for()
    assert there.missed == []


def test_alertmanager_and_what_prometheus_answers_are_there(there: There) -> None:
    with there.seen("/alertmanager/", "otto", picture="site-alertmanager") as page:
        assert page.title() == "Alertmanager"  # Debian's, which the lab may have, is without the rest of its pages
    with there.seen("/prometheus/api/v1/query?query=up", "vera", picture="site-prometheus") as page:
        assert json.loads(page.locator("body").inner_text())["status"] == "success"


def test_the_report_of_verify_is_there_for_operators(there: There) -> None:
    run = run_playbook("--skip-tags", "alert", playbook="playbooks/verify.yml")
    assert run.changed == 0, run.output  # syncs that other tests had fail may still be told
    with there.seen("/verify/", "otto", picture="site-verify") as page:
        assert page.title() == "Verified: lab"
        assert page.locator("tr", has_text="mon2").count() > 0
        assert page.locator("svg").count() > 0
    assert there.missed == []
