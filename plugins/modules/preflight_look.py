#!/usr/bin/python
"""Look at a host before anything is done to it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_look
short_description: See what a host is and has
version_added: 0.3.0
description:
  - Reads what the preflight judges, in one execution, and changes nothing. Where data will be it writes a file without
    a name, which is gone when it is closed, to see how long an fsync takes.
options:
  path:
    description: Where data will be; the nearest directory that exists stands for it.
    type: path
    default: /
  device:
    description: A disk of its own for that; what it is and holds.
    type: str
    default: ""
  ports:
    description: TCP ports whose listeners are told.
    type: list
    elements: int
    default: []
  names:
    description: Names of other hosts, to look up on this one.
    type: list
    elements: str
    default: []
  archives:
    description: By daemon, C(version) and C(url) of its release. One that is installed is not asked for.
    type: dict
    default: {}
  prometheus:
    description: The Prometheus that may run here, which is asked what it takes in; one that does not answer is fine.
    type: dict
    suboptions:
      url:
        description: Where it listens.
        type: str
        required: true
      tls:
        description: Authorities (C(ca)) and client certificate (C(client)) for https.
        type: dict
        default: {}
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author: The tds.monitoring authors
"""

EXAMPLES = r"""
- name: Look at the host
  tds.monitoring.preflight_look:
    path: /prometheus/data
    ports: [9090, 9100]
    names: [mon1, app1]
  register: looked
"""

RETURN = r"""
facts:
  description: What was seen, for P(tds.monitoring.preflight_findings#filter); sizes in bytes, times in seconds.
  type: dict
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tds.monitoring.plugins.module_utils.accounts import refuse_without_root
from ansible_collections.tds.monitoring.plugins.module_utils.host_facts import facts
from ansible_collections.tds.monitoring.plugins.module_utils.plan import Refusal


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": "/"},
            "device": {"type": "str", "default": ""},
            "ports": {"type": "list", "elements": "int", "default": []},
            "names": {"type": "list", "elements": "str", "default": []},
            "archives": {"type": "dict", "default": {}},
            "prometheus": {
                "type": "dict",
                "options": {"url": {"type": "str", "required": True}, "tls": {"type": "dict", "default": {}}},
            },
        },
        supports_check_mode=True,
    )
    try:
        refuse_without_root()
    except Refusal as reason:
        module.fail_json(msg=str(reason))
    module.exit_json(facts=facts(**module.params))


if __name__ == "__main__":
    main()
