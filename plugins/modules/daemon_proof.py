#!/usr/bin/python
"""Look at what runs, and change nothing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: daemon_proof
short_description: Prove that a running daemon does what is declared
version_added: 0.1.0
description:
  - Asks a running daemon the questions of a proof until all of them hold. Changes nothing, also not in check mode.
options:
  proof:
    description: What must hold; each probe asks one question about a URL's answer.
    type: list
    elements: dict
    default: []
  timeout:
    description: Seconds after which what does not hold is a failure.
    type: float
    default: 20
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
extends_documentation_fragment: [tds.monitoring.proof]
author: The tds.monitoring authors
"""

EXAMPLES = r"""
- name: All targets answer
  tds.monitoring.daemon_proof:
    proof:
      - url: http://127.0.0.1:9090/api/v1/targets?state=active
        rows:
          at: data.activeTargets
          keys: [labels.job, labels.instance, health]
          equal: [[node, "app1:9100", up]]
"""

RETURN = r""" """

from functools import partial

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tds.monitoring.plugins.module_utils.proof import PROBES, TLS, Unproven, get, prove


def main() -> None:
    module = AnsibleModule(
        argument_spec={"proof": PROBES, "proof_tls": TLS, "timeout": {"type": "float", "default": 20}},
        supports_check_mode=True,
    )
    ask = partial(get, tls=module.params["proof_tls"])
    try:
        prove(module.params["proof"], None, timeout=module.params["timeout"], fetch=ask, exited=lambda: None)
    except Unproven as reason:
        module.fail_json(msg=f"not proven {reason}")
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
