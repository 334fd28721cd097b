"""``python3 -m dashboards --write``: the dashboards into the role grafana's files."""

from __future__ import annotations

import sys

from dashboards import FILES
from dashboards.all import files


def main() -> None:
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python3 -m dashboards --write")
    wanted = files()
    for path in (FILES / "dashboards").glob("*.json"):
        if path not in wanted:
            path.unlink()
    for path, content in wanted.items():
        path.write_text(content, encoding="utf-8")
        print(path.relative_to(FILES.parents[2]))


if __name__ == "__main__":
    main()
