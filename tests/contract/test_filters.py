"""A filter's documentation is that of its function."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.contract.roles import ROOT

DIRECTORY = ROOT / "plugins/filter"


def filters() -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {}
    for file in sorted(DIRECTORY.glob("*.py")):
        module = importlib.import_module(f"ansible_collections.tds.monitoring.plugins.filter.{file.stem}")
        found |= module.FilterModule().filters()
    return found


def test_every_filter_is_documented_and_nothing_else() -> None:
    assert {file.stem for file in DIRECTORY.glob("*.yml")} == filters().keys()


@pytest.mark.parametrize("name", filters())
def test_documented_options_are_the_functions_parameters(name: str) -> None:
    documentation = yaml.safe_load((DIRECTORY / f"{name}.yml").read_text(encoding="utf-8"))["DOCUMENTATION"]
    first, *others = inspect.signature(filters()[name]).parameters.values()
    options = dict(documentation["options"])
    del options["_input"]
    assert first.kind is first.POSITIONAL_OR_KEYWORD
    assert set(options) == {parameter.name for parameter in others}
    assert [parameter.name for parameter in others] == [
        option.strip() for option in documentation.get("positional", "").split(",") if option
    ]
    assert {parameter.name for parameter in others if parameter.default is parameter.empty} == {
        option for option, value in options.items() if value.get("required")
    }
