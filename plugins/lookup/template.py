"""A role's template as text, without the copy that Ansible's own lookup makes of every variable."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible.template import trust_as_template

DOCUMENTATION = r"""
name: template
short_description: Text of a template
version_added: 0.3.0
description:
  - Like P(ansible.builtin.template#lookup), with its defaults and without options.
  - That one copies every variable of the host at each call, which with a site's catalogue takes longer than the rest
    of a task.
options:
  _terms:
    description: Files in C(templates/) of the role.
    type: list
    elements: str
    required: true
author: The tds.monitoring authors
"""

EXAMPLES = r"""
- name: A unit
  ansible.builtin.debug:
    msg: "{{ lookup('tds.monitoring.template', 'daemon.service.j2') }}"
"""

RETURN = r"""
_raw:
  description: The texts.
  type: list
  elements: str
"""


class LookupModule(LookupBase):  # type: ignore[misc]  # ansible-core has no types
    def run(self, terms: Sequence[str], variables: Mapping[str, Any] | None = None, **_: Any) -> list[str]:
        return [self._rendered(term, variables or {}) for term in terms]

    def _rendered(self, term: str, variables: Mapping[str, Any]) -> str:
        path = self.find_file_in_search_path(variables, "templates", term, ignore_missing=True)
        if path is None:
            raise AnsibleLookupError(f"the template {term} is not in templates/ of the role")
        text = trust_as_template(Path(path).read_text(encoding="utf-8"))
        known = ChainMap(dict(variables), {"ansible_managed": "Ansible managed"})
        templar = self._templar.copy_with_new_env(available_variables=known)
        return str(templar.template(text, escape_backslashes=False))
