#!/usr/bin/python
"""The monitoring's own nftables table on one host, changed so that a mistake undoes itself."""

from __future__ import annotations

DOCUMENTATION = r"""
module: firewall_rules
short_description: Put the monitoring's nftables table in force, and take it back unless the controller comes through it
version_added: 0.1.0
description:
  - Keeps one table, C(inet tds_monitoring), and touches no other. What is in force is compared with what is declared,
    in the kernel, in the file that is loaded at boot and in systemd. If all agree, it does nothing.
  - Rules that would cut off the SSH connection that the module came over are refused with nothing changed.
  - New rules are applied in one nftables transaction, after a timer of the host's own systemd was started that brings
    the ones before back. Only when the controller has made a new connection through them is the timer stopped and are
    they written to where they are loaded at boot. Whatever dies in between, the host goes back by itself.
  - Where nft is missing, the package nftables is installed with apt.
options:
  state:
    description: V(absent) removes the table, its file and its unit, and nothing else.
    type: str
    choices: [present, absent]
    default: present
  policy:
    description:
      - V(drop) lets in what O(allow) lists, answers to what the host itself began, loopback, and the ICMP and DHCP that
        a network needs. It has the kernel track connections.
      - V(accept) restricts the ports that O(allow) lists and nothing else. No connection is tracked.
    type: str
    choices: [accept, drop]
    default: accept
  allow:
    description: TCP ports, and who may connect to them; of entries with the same port each adds to the others.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What listens there.
        type: str
        required: true
      port:
        description: The port.
        type: int
        required: true
      from:
        description: Addresses and networks, IPv4 and IPv6. Empty lets nobody in but the host itself.
        type: list
        elements: str
        required: true
      source:
        description: The variable that O(allow[].from) comes from; shown where it is refused.
        type: str
        default: ""
  silent_users:
    description:
      - Accounts whose processes answer and open no connection, on loopback neither. One that is not on the host is left
        out until it is.
    type: list
    elements: str
    default: []
  unit:
    description: The text of C(tds-firewall.service), which loads C(/etc/tds/firewall/rules.nft) at boot.
    type: str
  confirm_seconds:
    description: How long new rules are in force without the controller's confirmation.
    type: int
    default: 30
  confirm:
    description: Set by the action plugin, to confirm what the call before has applied.
    type: dict
    suboptions:
      applied_over:
        description: The connection of the call before.
        type: str
        required: true
      reasons:
        description: Why it was applied, for the run record.
        type: list
        elements: str
        required: true
  run_by:
    description: Set by the action plugin; who runs this, for the run record.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
    description: Changes nothing, and has nft judge the rules where it is on the host.
  diff_mode:
    support: full
    description: Shows the table as nft lists it.
author: The tds.monitoring authors
"""

EXAMPLES = r"""
- name: Let only the Prometheus host at node_exporter, and leave all else alone
  tds.monitoring.firewall_rules:
    allow:
      - {name: node_exporter, port: 9100, from: [192.0.2.10, "2001:db8::10"]}
    silent_users: [node_exporter]
    unit: "{{ lookup('ansible.builtin.template', 'tds-firewall.service.j2') }}"
"""

RETURN = r"""
outcome:
  description:
    - C(unchanged), or C(proven) (in check mode, would be tried).
    - Of a run that failed, C(refused) or C(busy) (nothing was changed), C(rolled_back), or C(failed).
  type: str
  returned: always
reasons:
  description: Why something changed; empty when nothing did.
  type: list
  elements: str
  returned: success
not_validated:
  description: In check mode, why nft could not judge the rules; C(null) when it did.
  type: str
  returned: success
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tds.monitoring.plugins.module_utils import controller
from ansible_collections.tds.monitoring.plugins.module_utils.accounts import find_account
from ansible_collections.tds.monitoring.plugins.module_utils.firewall import (
    Firewall,
    NftNeeded,
    NotConfirmed,
    Outcome,
)
from ansible_collections.tds.monitoring.plugins.module_utils.generation import Busy
from ansible_collections.tds.monitoring.plugins.module_utils.nft import NftError
from ansible_collections.tds.monitoring.plugins.module_utils.plan import Refusal
from ansible_collections.tds.monitoring.plugins.module_utils.record import append_or_warn
from ansible_collections.tds.monitoring.plugins.module_utils.ruleset import (
    Ruleset,
    allowance_findings,
    allowances,
)
from ansible_collections.tds.monitoring.plugins.module_utils.service import ServiceError

ARGUMENTS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "policy": {"type": "str", "choices": ["accept", "drop"], "default": "accept"},
    "allow": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "from": {"type": "list", "elements": "str", "required": True},
            "source": {"type": "str", "default": ""},
        },
    },
    "silent_users": {"type": "list", "elements": "str", "default": []},
    "unit": {"type": "str"},
    "confirm_seconds": {"type": "int", "default": 30},
    "confirm": {
        "type": "dict",
        "options": {
            "applied_over": {"type": "str", "required": True},
            "reasons": {"type": "list", "elements": "str", "required": True},
        },
    },
    "run_by": {"type": "str", "default": ""},
}
SHORTEST_S = 5
LONGEST_S = 600
UNKNOWN = "unknown"


def ruleset(params: dict[str, Any]) -> Ruleset:
    """The module's parameters as a rule set.

    Raises:
        Refusal: all that is wrong with them, one mistake a line.
    """
    found = allowance_findings(params["allow"])
    if not SHORTEST_S <= (seconds := params["confirm_seconds"]) <= LONGEST_S:
        found.append(f"firewall_confirm_seconds is {seconds}: write a number from {SHORTEST_S} to {LONGEST_S}")
    if found:
        raise Refusal("\n".join(found))
    accounts = map(find_account, params["silent_users"])
    silent = {account.name: account.uid for account in accounts if account.exists}
    return Ruleset(params["policy"] == "drop", allowances(params["allow"]), silent)


def refuse_the_same(applied_over: str, now: str) -> None:
    """A connection that was there before says nothing about whether a new one comes through."""
    if applied_over == now != UNKNOWN:
        raise Refusal(f"the confirmation came over the connection that was there before ({now}), so it is none")


def execute(module: AnsibleModule, firewall: Firewall, came_over: controller.Connection | None) -> Outcome:
    params = module.params
    if params["state"] == "absent":
        return firewall.absent(module.check_mode)
    rules = ruleset(params)
    if confirm := params["confirm"]:
        refuse_the_same(confirm["applied_over"], str(came_over or UNKNOWN))
        firewall.confirm(rules, params["unit"])
        return Outcome(confirm["reasons"])
    return firewall.present(rules, params["unit"], came_over, params["confirm_seconds"], module.check_mode)


def failure(error: Exception) -> str:
    """One word for a run that failed, for those who read results by machine."""
    words = {NotConfirmed: "rolled_back", Busy: "busy", Refusal: "refused"}
    return words.get(type(error), "failed")


def record(module: AnsibleModule, result: str, why: list[str]) -> None:
    """Add a run that changed the host, or tried to, to its run record."""
    if module.check_mode:
        return
    who = {"daemon": "firewall", "by": module.params["run_by"], "state": module.params["state"]}
    append_or_warn({**who, "result": result, "why": why}, module.warn)


def message(error: Exception, seconds: int) -> str:
    if isinstance(error, NotConfirmed):
        return f"no new connection from the controller came through in {seconds} s. The rules from before are in force"
    return str(error)


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENTS, required_if=[("state", "present", ("unit",))], supports_check_mode=True
    )
    came_over = controller.connection()
    try:
        outcome = execute(module, Firewall(), came_over)
    except NftNeeded:
        module.exit_json(changed=False, needs_nft=True)
    except (Refusal, Busy, NotConfirmed, NftError, ServiceError, OSError) as error:
        told = message(error, module.params["confirm_seconds"])
        record(module, failure(error), [told.partition("\n")[0]])
        module.fail_json(msg=f"firewall: {told}", outcome=failure(error))
    if outcome.not_validated:
        module.warn(f"firewall: not validated: {outcome.not_validated} is not on this host yet")
    awaits = outcome.awaits and not module.check_mode
    if outcome.changed and not awaits:
        record(module, "proven", outcome.reasons)
    because = "".join(f"  {reason}\n" for reason in outcome.reasons)
    module.exit_json(
        changed=outcome.changed,
        outcome="proven" if outcome.changed else "unchanged",
        reasons=outcome.reasons,
        not_validated=outcome.not_validated,
        diff=[{"prepared": f"because\n{because}"}, *outcome.diff] if outcome.changed else [],
        **({"applied_over": str(came_over or UNKNOWN)} if awaits else {}),
    )


if __name__ == "__main__":
    main()
