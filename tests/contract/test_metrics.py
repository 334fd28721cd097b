"""docs/metrics.md, the contract, and the lab's programs that keep it, are one."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.tds.monitoring.plugins.filter.catalogue import CONTRACTS
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from lab.trading import clickhouse_names
from lab.trading import metrics as lab
from tests.contract import metrics as subject
from tests.contract.roles import ROOT


def test_the_document_is_in_step_with_contract_and_rules() -> None:
    assert subject.FILE.read_text(encoding="utf-8") == subject.document(), "run `make docs`"


def test_the_catalogue_knows_the_contracts() -> None:
    everything = yaml.safe_load(subject.CONTRACT.read_text(encoding="utf-8"))
    assert set(CONTRACTS) == everything["__prometheus_contract"].keys()


def exposed(of: type) -> dict[str, tuple[str, list[str]]]:
    """Type and labels by name of the metrics that one of the lab's programs has."""
    made = vars(of(CollectorRegistry())).values()
    metrics = [each for each in made if isinstance(each, MetricWrapperBase)]
    return {
        family.name + ("_total" if family.type == "counter" else ""): (family.type, list(metric._labelnames))
        for metric in metrics
        for family in metric.describe()
    }


@pytest.mark.parametrize(("name", "program"), [("backend", lab.Backend), ("trade_engine", lab.Engine)])
def test_the_labs_programs_keep_the_contract_and_have_nothing_else(name: str, program: type) -> None:
    wanted = {metric["name"]: (metric["type"], metric["labels"]) for metric in subject.contract(name)}
    assert exposed(program) == wanted


def test_rules_use_only_names_that_clickhouse_has() -> None:
    known = {
        prefix + name.replace(".", "_")
        for table, prefix in clickhouse_names.PREFIXES.items()
        for name in clickhouse_names.names()[table]
    }
    assert set(subject.used("ClickHouse")) <= known


def test_the_engines_names_are_those_of_the_engine() -> None:
    pytest.importorskip("chdb", reason="chdb (500 MB) is not among the development packages")
    assert clickhouse_names.FILE.read_text(encoding="utf-8") == clickhouse_names.text(clickhouse_names.from_chdb())


def test_every_contract_is_documented() -> None:
    text = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    assert [name for name in ("process", *CONTRACTS) if f"<!-- contract {name} -->" not in text] == []
