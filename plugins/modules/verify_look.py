#!/usr/bin/python
"""Look at a host of a live site, and ask what runs there."""

from __future__ import annotations

DOCUMENTATION = r"""
module: verify_look
short_description: See what a live site says of itself
version_added: 0.3.0
description:
  - Asks the Prometheus and the Alertmanager of a host, systemd, the kernel and whoever presents a certificate there, in
    one execution, and changes nothing. The Alertmanager is sent an alert by the name of VerifyTest, which is ended when
    its receiver has taken it; in check mode none is sent.
  - What is to be seen is chosen by what is given.
options:
  prometheus:
    description: The Prometheus that runs here.
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
      host:
        description: Its label C(host).
        type: str
        required: true
      data:
        description: Where its data is.
        type: path
        required: true
      contract:
        description: Selector of the services with a contract; empty where there are none.
        type: str
        default: ""
      sync:
        description: Services that sync.
        type: list
        elements: str
        default: []
      sections:
        description: What it is asked for.
        type: list
        elements: str
        choices: [targets, rules, contract, retention, scrapes, sync, drawn]
        required: true
  alertmanager:
    description: The Alertmanager that runs here, and is sent a test alert.
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
      host:
        description: Name of this host, which is a label of the alert.
        type: str
        required: true
      receiver:
        description: Who is told.
        type: str
        required: true
      integrations:
        description: How many of each the receiver has, by name.
        type: dict
        required: true
  units:
    description: Units whose limits are told.
    type: list
    elements: str
    default: []
  certificates:
    description: The certificates of this host.
    type: dict
    suboptions:
      directory:
        description: Where they are.
        type: path
        required: true
      listeners:
        description: Who presents one, as C(address:port).
        type: list
        elements: str
        default: []
      tls:
        description: Authorities (C(ca)) and client certificate (C(client)) to ask them with.
        type: dict
        default: {}
  door:
    description: The door that people come through.
    type: dict
    suboptions:
      where:
        description: As C(address:port).
        type: str
        required: true
      ca:
        description: Authorities that its certificate must be of.
        type: path
        required: true
      paths:
        description: What may not be seen without a login.
        type: list
        elements: str
        required: true
      plain_port:
        description: Where a browser tries without TLS.
        type: int
        default: 80
  page:
    description: File that a page would be written to; told is whether its directory is there.
    type: path
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author: The tds.monitoring authors
"""

EXAMPLES = r"""
- name: Look at the host
  tds.monitoring.verify_look:
    units: [prometheus.service, node_exporter.service, tds.slice]
    prometheus:
      {url: "http://127.0.0.1:9090", host: mon1, data: /prometheus/data, sections: [targets, rules]}
  register: looked
"""

RETURN = r"""
facts:
  description: What was seen, for P(tds.monitoring.verify_report#filter); what could not be asked has C(fault).
  type: dict
  returned: always
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tds.monitoring.plugins.module_utils import site_facts
from ansible_collections.tds.monitoring.plugins.module_utils.accounts import refuse_without_root
from ansible_collections.tds.monitoring.plugins.module_utils.plan import Refusal

TLS: dict[str, Any] = {"type": "dict", "default": {}}
WORD: dict[str, Any] = {"type": "str", "required": True}
SECTIONS = ("targets", "rules", "contract", "retention", "scrapes", "sync", "drawn")


def asked_of_prometheus(given: dict[str, Any]) -> dict[str, Any]:
    """The sections of a Prometheus, each by itself."""
    prometheus = site_facts.Prometheus(given["url"], given["tls"])
    asks = {
        "targets": lambda: site_facts.targets(prometheus),
        "rules": lambda: site_facts.rules(prometheus),
        "contract": lambda: site_facts.contract(prometheus, given["contract"]) if given["contract"] else {},
        "retention": lambda: site_facts.retention(prometheus, given["host"], given["data"]),
        "scrapes": lambda: site_facts.scrapes(prometheus),
        "sync": lambda: site_facts.sync(prometheus, given["sync"]) if given["sync"] else {},
        "drawn": lambda: site_facts.drawn(prometheus, given["sync"]),
    }
    return {name: site_facts.section(asks[name]) for name in given["sections"]}


def look(given: dict[str, Any], *, send: bool) -> dict[str, Any]:
    """Everything that was asked for; no alert is sent unless ``send``."""
    facts: dict[str, Any] = asked_of_prometheus(given["prometheus"]) if given["prometheus"] else {}
    if given["alertmanager"] and send:
        facts["alert"] = site_facts.section(lambda: site_facts.alert(**given["alertmanager"]))
    if given["units"]:
        facts["limits"] = site_facts.section(lambda: site_facts.limits(given["units"]))
    if given["certificates"]:
        facts["certificates"] = site_facts.section(lambda: site_facts.certificates(**given["certificates"]))
    if given["door"]:
        facts["door"] = site_facts.section(lambda: site_facts.door(**given["door"]))
    return facts | {"page": bool(given["page"]) and Path(given["page"]).parent.is_dir()}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "prometheus": {
                "type": "dict",
                "options": {
                    "url": WORD,
                    "tls": TLS,
                    "host": WORD,
                    "data": {"type": "path", "required": True},
                    "contract": {"type": "str", "default": ""},
                    "sync": {"type": "list", "elements": "str", "default": []},
                    "sections": {"type": "list", "elements": "str", "choices": list(SECTIONS), "required": True},
                },
            },
            "alertmanager": {
                "type": "dict",
                "options": {
                    "url": WORD,
                    "tls": TLS,
                    "host": WORD,
                    "receiver": WORD,
                    "integrations": {"type": "dict", "required": True},
                },
            },
            "units": {"type": "list", "elements": "str", "default": []},
            "certificates": {
                "type": "dict",
                "options": {
                    "directory": {"type": "path", "required": True},
                    "listeners": {"type": "list", "elements": "str", "default": []},
                    "tls": TLS,
                },
            },
            "door": {
                "type": "dict",
                "options": {
                    "where": WORD,
                    "ca": {"type": "path", "required": True},
                    "paths": {"type": "list", "elements": "str", "required": True},
                    "plain_port": {"type": "int", "default": 80},
                },
            },
            "page": {"type": "path"},
        },
        supports_check_mode=True,
    )
    try:
        refuse_without_root()
    except Refusal as reason:
        module.fail_json(msg=str(reason))
    module.exit_json(facts=look(module.params, send=not module.check_mode))


if __name__ == "__main__":
    main()
