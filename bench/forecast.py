"""How true the forecast of retention is: a month of one book of a trade engine, written into blocks by promtool.

It trades for eight hours of each working day, with 19 series at one second: 49 million samples. Writes
``bench/results/forecast.json``: how many bytes the month takes, and what was foretold of it: from the catalogue, as the
preflight does before there is a Prometheus, and from what the blocks of its first week say, as it does when one runs.
"""

from __future__ import annotations

import json
import random
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.tds.monitoring.plugins.filter.capacity import capacity

from bench.hosts import save
from lab import load
from lab.common import Paths

BEGIN = 1_767_225_600  # a Thursday
DAYS, WEEK, DAY = 30, 7, 86_400
WEEKEND = (2, 3)  # counted from that day
TRADING = range(8 * 3600, 16 * 3600)


def promtool(directory: Path) -> Path:
    (archive,) = Paths.from_environment().artifacts.glob("prometheus-*.tar.gz")
    with tarfile.open(archive) as tar:
        member = next(member for member in tar if Path(member.name).name == "promtool")
        member.name = "promtool"
        tar.extract(member, directory, filter="data")
    return directory / "promtool"


def lines(day: int, dice: random.Random) -> Iterator[str]:
    """One day in OpenMetrics."""
    executed = [0] * DAY
    if day % 7 not in WEEKEND:
        executed[TRADING.start : TRADING.stop] = load.orders(dice, len(TRADING))
    for name, values in load.book(0, executed, dice):
        for second, value in enumerate(values):
            yield f"{name} {value} {BEGIN + day * DAY + second}\n"
    yield "# EOF\n"


def write(day: int, tool: Path, work: Path, dice: random.Random) -> None:
    text = work / "day.om"
    with text.open("w", encoding="ascii") as file:
        file.writelines(lines(day, dice))
    make = [str(tool), "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=24h", "--quiet"]
    subprocess.run([*make, str(text), str(work / "data")], check=True, stdout=subprocess.DEVNULL)


def size_and_samples(data: Path, until: int = DAYS) -> tuple[int, int]:
    """Of the blocks that begin before a day."""
    size = samples = 0
    for meta in data.glob("*/meta.json"):
        said = json.loads(meta.read_text(encoding="utf-8"))
        if said["minTime"] < 1000 * (BEGIN + until * DAY):
            size += sum(file.stat().st_size for file in meta.parent.rglob("*") if file.is_file())
            samples += said["stats"]["numSamples"]
    return size, samples


def main() -> None:
    dice = random.Random(1)  # noqa: S311  no secret
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        tool = promtool(work)
        for day in range(DAYS):
            write(day, tool, work, dice)
        truth, samples = size_and_samples(work / "data")
        week, of_week = size_and_samples(work / "data", WEEK)
    rate = samples / (DAYS * DAY)
    entry = {"service": "engine", "interval": "1s"}
    catalogue = DAYS * capacity([entry], {"engine": {"series": round(rate)}})["bytes_per_day"]
    running = DAYS * DAY * rate * week / of_week
    result = {
        "samples": samples,
        "bytes": truth,
        "bytes_per_sample": round(truth / samples, 3),
        "foretold_by_catalogue": round(catalogue / truth - 1, 3),
        "foretold_by_running": round(running / truth - 1, 3),
    }
    save("forecast", result)
    print(result)


if __name__ == "__main__":
    main()
