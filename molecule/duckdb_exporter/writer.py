"""Owns live.duckdb: writes and checkpoints it without a pause, and says how it went; makes quiet.duckdb, once."""

import json
import sys
import time
from pathlib import Path

import duckdb

PLACE = Path(sys.argv[1])


def make_quiet() -> None:
    path, part = PLACE / "quiet.duckdb", PLACE / "quiet.part"
    with duckdb.connect(str(part)) as connection:
        rows = "SELECT range AS id, ['buy', 'sell'][range % 3 + 1] AS side FROM range(300)"
        connection.execute(f"CREATE TABLE trades AS {rows}")
        connection.execute("DELETE FROM trades WHERE side IS NULL")
    part.rename(path)


def main() -> None:
    if not (PLACE / "quiet.duckdb").exists():
        make_quiet()
    said = {"writes": 0, "failed": 0, "checkpoints": 0, "longest_checkpoint": 0.0}
    with duckdb.connect(str(PLACE / "live.duckdb")) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS ticks (seen DOUBLE, text VARCHAR)")
        while True:
            try:
                connection.execute("INSERT INTO ticks SELECT ?, md5(range::VARCHAR) FROM range(200)", [time.time()])
                said["writes"] += 1
                if said["writes"] % 40 == 0:
                    started = time.monotonic()
                    connection.execute("CHECKPOINT")
                    said["checkpoints"] += 1
                    said["longest_checkpoint"] = max(said["longest_checkpoint"], time.monotonic() - started)
            except duckdb.Error as error:
                said["failed"] += 1
                print(error, file=sys.stderr, flush=True)
            part = PLACE / "said.part"
            part.write_text(json.dumps(said))
            part.rename(PLACE / "said.json")
            time.sleep(0.02)


main()
