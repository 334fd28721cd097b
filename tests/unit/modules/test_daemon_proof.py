"""The module itself: what it takes, whom it asks and how, and what it says when something does not hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.tds.monitoring.plugins.modules import daemon_proof as module

from tests.authority import Authority
from tests.tls_server import TLSServer, serving


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    authority = Authority()
    contents = {name: "".join(authority.issue(["127.0.0.1"])) for name in ("server", "client")}
    for name, content in (contents | {"ca": authority.pem}).items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    return {name: str(tmp_path / name) for name in ("ca", "server", "client")}


@pytest.fixture
def server(files: dict[str, str]) -> Iterator[TLSServer]:
    with serving(Path(files["server"]), Path(files["ca"])) as running:
        yield running


def run(capsys: pytest.CaptureFixture[str], **parameters: Any) -> dict[str, Any]:
    with patch_module_args({"timeout": 0.5} | parameters), pytest.raises(SystemExit):
        module.main()
    return dict(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize("check_mode", [False, True])
def test_what_holds_is_no_change(
    capsys: pytest.CaptureFixture[str], files: dict[str, str], server: TLSServer, check_mode: bool
) -> None:
    proof = [
        {"url": f"https://{server.where}/", "metric": {"name": "up", "value": 1}},
        {"url": f"tls://{server.where}", "certificate": files["server"]},
    ]
    tls = {"ca": files["ca"], "client": files["client"]}
    answer = run(capsys, proof=proof, proof_tls=tls, _ansible_check_mode=check_mode)
    assert (answer.get("failed", False), answer["changed"]) == (False, False)


@pytest.mark.parametrize(
    ("certificate", "tls", "told"),
    [
        ("client", ("ca", "client"), "presents another certificate than the one in"),
        ("server", ("ca",), None),
        ("server", (), "certificate verify failed"),
    ],
)
def test_what_does_not_hold_is_a_failure_with_the_reason(
    capsys: pytest.CaptureFixture[str],
    files: dict[str, str],
    server: TLSServer,
    certificate: str,
    tls: tuple[str, ...],
    told: str | None,
) -> None:
    proof = [{"url": f"tls://{server.where}", "certificate": files[certificate]}]
    answer = run(capsys, proof=proof, proof_tls={name: files[name] for name in tls} or None)
    assert (answer.get("failed", False), (told or "") in answer.get("msg", "")) == (told is not None, True)


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"proof": [{"url": "tls://a:1", "certificate": "/c", "metric": {"name": "up"}}]}, "mutually exclusive"),
        ({"proof": [{"url": "tls://a:1", "certificate": "/c", "rows": {}}]}, "mutually exclusive"),
        ({"proof_tls": {"client": "/c"}}, "missing required arguments: ca"),
    ],
)
def test_a_bad_parameter_is_refused_by_its_name(
    capsys: pytest.CaptureFixture[str], parameters: dict[str, Any], told: str
) -> None:
    assert told in run(capsys, **parameters)["msg"]
