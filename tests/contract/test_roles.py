"""A role's specification, defaults and README say the same."""

from __future__ import annotations

import pytest

from tests.contract import variables
from tests.contract.roles import Role, roles

EVERY_ROLE = pytest.mark.parametrize("role", roles(), ids=lambda role: role.name)


@EVERY_ROLE
def test_defaults_are_the_documented_ones(role: Role) -> None:
    documented = {name: option["default"] for name, option in role.options.items() if "default" in option}
    assert role.defaults == documented


@EVERY_ROLE
def test_what_has_no_default_is_required(role: Role) -> None:
    optional = {name for name, option in role.options.items() if not option.get("required")}
    assert optional <= role.defaults.keys()


@EVERY_ROLE
def test_every_option_is_described(role: Role) -> None:
    assert role.options, "write meta/argument_specs.yml"
    assert [name for name, option in role.options.items() if not option.get("description")] == []


@EVERY_ROLE
def test_readme_has_the_current_variable_table(role: Role) -> None:
    file = role.path / "README.md"
    assert file.is_file(), "`make docs` begins one"
    text = file.read_text(encoding="utf-8")
    assert variables.TABLE.search(text), "it needs the markers <!-- variables --> and <!-- /variables -->"
    assert text == variables.readme(role), "stale: run `make docs`"
