"""The module's own part: what it takes and refuses by name, and what it makes of a confirmation."""

from __future__ import annotations

import pwd
from typing import Any

import pytest
from ansible_collections.tds.monitoring.plugins.module_utils.firewall import NotConfirmed
from ansible_collections.tds.monitoring.plugins.module_utils.generation import Busy
from ansible_collections.tds.monitoring.plugins.module_utils.nft import NftError
from ansible_collections.tds.monitoring.plugins.module_utils.plan import Refusal
from ansible_collections.tds.monitoring.plugins.modules import firewall_rules as module

SSH = {"name": "ssh", "port": 22, "from": ["192.0.2.0/24"], "source": "firewall_ssh_from"}


def parameters(**changes: Any) -> dict[str, Any]:
    defaults = {name: option.get("default") for name, option in module.ARGUMENTS.items()}
    return {**defaults, "allow": [SSH], **changes}


def test_the_rules_have_what_the_parameters_say() -> None:
    rules = module.ruleset(parameters(policy="drop", silent_users=["daemon", "nobody-has-this-name"]))
    assert (rules.closed, [(one.name, one.port) for one in rules.allowed]) == (True, [("ssh", 22)])
    assert rules.silent == {"daemon": pwd.getpwnam("daemon").pw_uid}  # who is not there yet is left out
    assert not module.ruleset(parameters(policy="accept")).closed


def test_all_mistakes_are_refused_at_once_by_their_variables() -> None:
    with pytest.raises(Refusal) as refusal:
        module.ruleset(parameters(allow=[SSH | {"from": ["bastion"], "port": 0}], confirm_seconds=1))
    told = str(refusal.value).splitlines()
    assert [line.split(":")[0] for line in told] == [
        "port of ssh in firewall_allow is 0",
        "firewall_ssh_from is 'bastion'",
        "firewall_confirm_seconds is 1",
    ]


def test_a_connection_that_was_there_before_confirms_nothing() -> None:
    with pytest.raises(Refusal, match="over the connection that was there before"):
        module.refuse_the_same("192.0.2.1 50000 192.0.2.9 22", "192.0.2.1 50000 192.0.2.9 22")


@pytest.mark.parametrize("now", ["192.0.2.1 50001 192.0.2.9 22", module.UNKNOWN])
def test_another_connection_confirms(now: str) -> None:
    module.refuse_the_same("192.0.2.1 50000 192.0.2.9 22", now)
    module.refuse_the_same("", now)
    module.refuse_the_same(module.UNKNOWN, now)


@pytest.mark.parametrize(
    ("error", "word"),
    [(NotConfirmed(), "rolled_back"), (Busy(""), "busy"), (Refusal(""), "refused"), (NftError(""), "failed")],
)
def test_a_failure_has_one_word(error: Exception, word: str) -> None:
    assert module.failure(error) == word
