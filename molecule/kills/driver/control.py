"""States that are half of each, made by hand: a judge that lets one pass proves nothing."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

from .verdict import generations, judge, mended, release_of, served
from .victim import CURRENT, ETC, UNIT, Declared, binary, clear, run

BEFORE, NOW = Declared(1, 1), Declared(2, 2)


def control() -> dict[str, list[str]]:
    """What the judge says of each, and of one that is whole."""
    said: dict[str, list[str]] = {}
    for name, damage in DAMAGES.items():
        clear()
        run(BEFORE)
        if complaints := run(NOW).words or mended(NOW):
            raise RuntimeError(f"before any damage: {complaints}")
        damage()
        said[name] = judge([BEFORE, NOW]).complaints
    clear()
    return said


def nothing() -> None:
    pass


def current_was_renamed() -> None:
    (generations()[-1] / "etc/secret").write_text(BEFORE.text)  # as it was before it was rotated
    CURRENT.unlink()
    CURRENT.symlink_to(f"generations/{generations()[-1].name}")


def an_old_value_is_loaded() -> None:
    value = ETC / "value"
    value.write_text(BEFORE.text)
    systemctl("reload", until=lambda page: page["value"] == BEFORE.value)
    value.write_text(NOW.text)


def the_old_unit_is_loaded() -> None:
    UNIT.write_text(BEFORE.unit)
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    systemctl("restart", until=lambda page: page["unit"] == BEFORE.release)
    UNIT.write_text(NOW.unit)


def another_binary_runs() -> None:
    server = release_of(CURRENT) / "server"
    server.unlink()  # the kernel lets nobody write to one that runs
    server.write_bytes(binary(BEFORE.release))
    server.chmod(0o755)
    systemctl("restart", until=bool)


def a_file_is_torn() -> None:
    (ETC / "secret").write_text("")


def it_is_down() -> None:
    subprocess.run(["systemctl", "stop", UNIT.name], check=True)


DAMAGES: dict[str, Callable[[], None]] = {
    damage.__name__: damage
    for damage in (
        nothing,
        current_was_renamed,
        an_old_value_is_loaded,
        the_old_unit_is_loaded,
        another_binary_runs,
        a_file_is_torn,
        it_is_down,
    )
}


def systemctl(verb: str, until: Callable[[dict[str, int]], bool]) -> None:
    """Have it done, and wait until the process shows it."""
    subprocess.run(["systemctl", verb, UNIT.name], check=True)
    end = time.monotonic() + 5
    while not (page := served()) or not until(page):
        if time.monotonic() > end:
            raise RuntimeError(f"after a {verb} it serves {page}")
        time.sleep(0.05)
