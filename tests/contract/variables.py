"""The variable tables in the roles' READMEs, made from meta/argument_specs.yml.

`make docs` writes them, and a README with nothing but the table for a role that has none.
"""

from __future__ import annotations

import json
import re
import sys

from tests.contract.roles import Role, roles

TABLE = re.compile(r"<!-- variables -->\n.*?<!-- /variables -->", re.DOTALL)
LONGEST_DEFAULT = 60


def table(role: Role) -> str:
    rows = ["| variable | default | what it is |", "|---|---|---|"]
    for name, option in role.options.items():
        description = option.get("description", "")
        text = " ".join(description if isinstance(description, list) else [str(description)])
        rows.append(f"| `{name}` | {_default(option)} | {_cell(text)} |")
    return "\n".join(["<!-- variables -->", *rows, "<!-- /variables -->"])


def readme(role: Role) -> str:
    """The README as it should be; without markers there is no table to make."""
    file = role.path / "README.md"
    if not file.is_file():
        return f"# {role.name}\n\n{role.spec.get('short_description', '')}.\n\n{table(role)}\n"
    return TABLE.sub(lambda _: table(role), file.read_text(encoding="utf-8"))


def _default(option: dict[str, object]) -> str:
    if option.get("required"):
        return "required"
    if "default" not in option:
        return ""
    value = option["default"]
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return f"`{_cell(text)}`" if len(text) <= LONGEST_DEFAULT else "[see there](defaults/main.yml)"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python3 -m tests.contract.variables --write")
    for each in roles():
        (each.path / "README.md").write_text(readme(each), encoding="utf-8")
