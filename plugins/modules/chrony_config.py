#!/usr/bin/python
"""Have chronyd keep a host's clock from declared servers and nothing else."""

from __future__ import annotations

DOCUMENTATION = r"""
module: chrony_config
short_description: chronyd keeps the clock from declared servers
version_added: 0.3.0
description:
  - Writes C(/etc/chrony/tds.conf), C(/etc/chrony/sources.d/tds.sources), and a drop-in by which chronyd reads the first
    in place of its package's C(chrony.conf), which stays as it is.
  - Installs chrony where it is missing, with apt.
  - What chronyd itself refuses changes nothing. New servers are reloaded; all else restarts chronyd. What it does not
    take up is undone.
options:
  state:
    description: Whether the files are there. C(absent) has chronyd run as its package has it.
    type: str
    choices: [present, absent]
    default: present
  config:
    description: Text of the configuration, without the servers.
    type: str
    default: ""
  sources:
    description: Text with the servers, peers and pools.
    type: str
    default: ""
  servers:
    description: Their addresses and names, which chronyd must say that it has.
    type: list
    elements: str
    default: []
  frozen:
    description: Why what runs must not be restarted now; empty when it may be.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author: The tds.monitoring authors
"""

EXAMPLES = r"""
- name: Follow two servers
  tds.monitoring.chrony_config:
    config: "{{ lookup('ansible.builtin.template', 'tds.conf.j2') }}"
    sources: |
      server 192.0.2.1 iburst
      server 192.0.2.2 iburst
    servers: [192.0.2.1, 192.0.2.2]
"""

RETURN = r"""
action:
  description: The force that was used, or would be (C(none), C(reload) or C(restart)).
  type: str
  returned: success
reasons:
  description: Why something changed; empty when nothing did.
  type: list
  elements: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tds.monitoring.plugins.module_utils.accounts import refuse_without_root
from ansible_collections.tds.monitoring.plugins.module_utils.chrony import (
    Chrony,
    ChronyNeeded,
    NotProven,
)
from ansible_collections.tds.monitoring.plugins.module_utils.plan import Refusal
from ansible_collections.tds.monitoring.plugins.module_utils.service import ServiceError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "config": {"type": "str", "default": ""},
            "sources": {"type": "str", "default": ""},
            "servers": {"type": "list", "elements": "str", "default": []},
            "frozen": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    params, chrony = module.params, Chrony()
    try:
        refuse_without_root()
        if params["state"] == "absent":
            outcome = chrony.absent(params["frozen"], module.check_mode)
        else:
            outcome = chrony.present(
                params["config"], params["sources"], params["servers"], params["frozen"], module.check_mode
            )
    except ChronyNeeded:
        module.exit_json(changed=False, needs_package="chrony")
    except (Refusal, NotProven, ServiceError, OSError) as error:
        module.fail_json(msg=f"timesync: {error}")
    for warning in outcome.warnings:
        module.warn(f"timesync: {warning}")
    because = "".join(f"  {reason}\n" for reason in outcome.reasons)
    module.exit_json(
        changed=bool(outcome.reasons),
        action=outcome.action.name.lower(),
        reasons=outcome.reasons,
        diff=[{"prepared": f"because\n{because}"}, *outcome.diff] if outcome.reasons else [],
    )


if __name__ == "__main__":
    main()
