"""The standalone service's configuration: what is refused, with which words."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from duckdb_exporter.__main__ import main
from duckdb_exporter.config import ConfigError, load, parse
from duckdb_exporter.queries import QueryError
from hypothesis import given
from hypothesis import strategies as st

QUERY = {"name": "trades", "sql": "SELECT 1 AS value", "help": "Trades."}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "must be a mapping"),
        ({"file": []}, "unknown file; known are files, queries, tls"),
        ({}, "files must be a list, not None"),
        ({"files": ["/a"]}, "a file must be a mapping"),
        ({"files": [{"path": "a"}]}, "path must be absolute, not 'a'"),
        ({"files": [{"path": "/a", "read": "yes"}]}, "read of /a must be true or false, not 'yes'"),
        ({"files": [{"path": "/a", "reed": True}]}, "unknown reed"),
        ({"files": [{"path": "/a"}, {"path": "/a", "name": "b"}]}, "/a is there twice; give each its own path"),
        ({"files": [{"path": "/x/a.db"}, {"path": "/y/A.db"}]}, "a is there twice; give each its own name"),
        ({"files": [{"path": "/temp.db"}]}, "'temp' cannot be the name of /temp.db"),
        ({"files": [{"path": "/1.db"}]}, "'1' cannot be the name of /1.db"),
        ({"files": [{"path": "/a"}], "queries": [QUERY]}, "no file has `read`"),
        ({"files": [], "tls": {"ca": "/ca"}}, "ca and server must be paths"),
        ({"files": [], "tls": {"ca": "/ca", "server": "/s", "clients": "mon1"}}, "clients must be a list"),
    ],
)
def test_a_mistake_is_told(data: Any, words: str) -> None:
    with pytest.raises((ConfigError, QueryError), match=words):
        parse(data)


def test_a_file_is_called_as_its_name_says() -> None:
    config = parse({"files": [{"path": "/srv/trade-state.2026.duckdb"}, {"path": "/b.db", "name": "history"}]})
    assert [file.name for file in config.files] == ["trade_state_2026", "history"]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)
)


@given(st.fixed_dictionaries({"files": JSON, "queries": JSON, "tls": JSON}) | JSON)
def test_whatever_it_is_it_is_taken_or_refused(data: Any) -> None:
    with suppress(ConfigError, QueryError):
        parse(data)


def test_a_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("{")
    with pytest.raises(ConfigError, match=str(path)):
        load(path)


def check(tmp_path: Path, data: Any) -> int:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(data))
    return int(main(["--check", "--config", str(path)]))


def test_check_takes_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    assert check(tmp_path, {"files": [{"path": str(tmp_path / "later.duckdb"), "read": True}]}) == 0


def test_check_refuses_a_query_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query = {**QUERY, "sql": "DELETE FROM trades"}
    assert check(tmp_path, {"files": [{"path": "/a.db", "read": True}], "queries": [query]}) == 2
    assert "query 'trades' must be one SELECT, not DELETE" in capsys.readouterr().err


@pytest.mark.parametrize("listen", ["9125", "host:", ":9125", "host:port", "host:70000"])
def test_an_address_that_is_none_is_refused(listen: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--config", "x", "--listen", listen])
    assert "is not ADDRESS:PORT" in capsys.readouterr().err
