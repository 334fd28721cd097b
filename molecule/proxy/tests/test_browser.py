"""The door as people see it, in a real browser; what it showed is kept in build/screenshots/."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser import There, browser
from tests.hosts import Play, address, on


@pytest.fixture(scope="module")
def there() -> Iterator[There]:
    with browser("door.test", address(on("mon1"))) as it:
        yield it


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_landing_page_says_what_is_there_and_how_it_is(there: There, dark: bool) -> None:
    with there.seen("/", "vera", dark=dark, picture="landing") as page:
        page.get_by_text("you are vera, viewer").wait_for()
        for name in ("prometheus", "alertmanager", "grafana"):
            page.locator(f"[data-health='/health/{name}'].well").wait_for()
        jobs = page.locator("#jobs")
        jobs.get_by_text("all up").first.wait_for()
        assert jobs.locator("tr", has_text="alertmanager").count() == 1
        assert page.locator("a[href='/prometheus/']").is_visible()
    assert there.missed == []


def test_the_landing_page_says_what_is_away(there: There) -> None:
    on("mon1").check_output("systemctl stop alertmanager")
    try:
        with there.seen("/", "vera", picture="landing-ill") as page:
            page.locator("[data-health='/health/alertmanager'].ill").wait_for()
            page.locator("[data-health='/health/prometheus'].well").wait_for()
    finally:
        on("mon1").check_output("systemctl start alertmanager")


def test_the_report_of_verify_says_what_is_wrong(there: There, play: Play) -> None:
    # Not all is well: the scenario has the door and what is behind it, and no exporters.
    run = play("--skip-tags", "alert", playbook="playbooks/verify.yml")
    assert run.changed == 0, run.output
    for dark in (False, True):
        with there.seen("/verify/", "otto", dark=dark) as page:
            assert page.locator("table tr").count() > 5
            assert page.locator("tr", has_text="door").first.is_visible()
            assert page.locator("svg").first.is_visible()
        assert there.missed == []
