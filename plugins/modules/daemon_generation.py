#!/usr/bin/python
"""One daemon on one host, moved from one generation to the next as one transaction."""

from __future__ import annotations

DOCUMENTATION = r"""
module: daemon_generation
short_description: Put a daemon's release, configuration and unit in force as one transaction
version_added: 0.1.0
description:
  - Everything a daemon is made of on a host (release, configuration files, flags, unit) is one generation below
    C(/opt/tds/<name>/generations/<id>/), and C(/opt/tds/<name>/current) points at the one in force.
  - A run compares the declaration with the manifest in force, the manifest with the bytes on disk, and the journal with
    the running process. If all agree, it does nothing, and nothing is fetched.
  - Otherwise it obtains the release (sha256 pinned), stages the new generation, lets the product's own checkers
    judge it as the service's user, switches with one rename, acts with the least force that applies the change,
    and proves the effect. What is not proven is rolled back, and the task fails with the reason.
  - C(/etc/<name>) is a link to the configuration in force.
options:
  name:
    description: The daemon; also the systemd unit (C(<name>.service)) and the directories.
    type: str
    required: true
  state:
    description:
      - V(present) brings the declaration into force.
      - V(previous) goes back to the generation before the one in force, from what the host itself keeps.
      - V(absent) stops the daemon and removes all of it but O(data).
    type: str
    choices: [present, previous, absent]
    default: present
  user:
    description:
      - The account that the service runs as and that the checkers run as. One that is not there is made, as a system
        account without home and shell; one that is there stays as it is, and what it has beyond that is a warning.
      - With O(state=previous) it is the one that the generation in force was made with.
    type: str
    default: root
  release:
    description: The upstream release; leave out for a daemon that comes from the distribution.
    type: dict
    suboptions:
      version:
        description: The version, which names C(/opt/tds/<name>/releases/<version>/).
        type: str
        required: true
      archive:
        description: URL, or path on the controller, of the tar archive. Its single top directory is left out.
        type: str
        required: true
      sha256:
        description: SHA-256 of the archive, 64 hexadecimal digits.
        type: str
        required: true
      binaries:
        description: Executables that must be in the release.
        type: list
        elements: str
        default: []
  unit:
    description: The text of the systemd unit. It reads its flags from C(/opt/tds/<name>/current/env) as C($ARGS).
    type: str
  arguments:
    description: The command line's arguments. White space and quotes are refused, since systemd would take them apart.
    type: list
    elements: str
    default: []
  environment:
    description: Further variables of the service's environment. Not for secrets.
    type: dict
    default: {}
  files:
    description: The configuration files, all of them; what is not listed leaves the next generation.
    type: list
    elements: dict
    default: []
    suboptions: &file
      path:
        description: Path below C(/etc/<name>).
        type: str
        required: true
      content:
        description: The whole content.
        type: str
        required: true
      mode:
        description: Four octal digits; the owner is root, the group the service's user.
        type: str
        default: "0640"
      action:
        description: What it takes for a changed file to be in force.
        type: str
        choices: [none, reload, restart]
        default: restart
      source:
        description: The variables that the content comes from; shown when a checker refuses it.
        type: str
        default: ""
  secret_files:
    description: As O(files), for contents that appear in no diff and no log.
    type: list
    elements: dict
    default: []
    suboptions: *file
  links:
    description: Further symbolic links into the configuration, link to target, both absolute.
    type: dict
    default: {}
  data:
    description: Directories of the daemon's data, made when missing (mode 0700, owned by O(user)), never removed.
    type: list
    elements: path
    default: []
  checks:
    description:
      - Commands that judge the staged generation, run as O(user). A non-zero exit or a warning refuses it.
      - C({etc}) and C({release}) stand for the staged directories.
    type: list
    elements: dict
    default: []
    suboptions:
      command:
        description: Program and arguments.
        type: list
        elements: str
        required: true
      source:
        description: The variables to mend when the command's words name no file.
        type: str
        default: ""
      harmless:
        description: Lines that the command may print although they have the word warning in them.
        type: list
        elements: str
        default: []
      reads:
        description:
          - Paths below C({etc}) of the files that the command's answer depends on, beside the release. It is not asked
            again while they and the release are those that it has accepted in the generation in force. Without them it
            is asked of each new generation.
        type: list
        elements: str
        default: []
  proof:
    description: What must hold for the generation to be in force; each probe asks one question about a URL's answer.
    type: list
    elements: dict
    default: []
  proof_timeout:
    description: Seconds without progress after which the proof has failed.
    type: float
    default: 20
  progress_url:
    description: A page that changes while a slow start makes progress, which the proof then waits for.
    type: str
  keep:
    description: How many generations stay on the host, with the releases they run.
    type: int
    default: 3
  allow_downgrade:
    description: Accept a release that is older than the one in force.
    type: bool
    default: false
  adopt:
    description:
      - Take over what an earlier installation left where this one goes. Files are moved to
        C(/var/backups/tds/<name>-<time>/), units stopped, data kept and given to O(user). It is all put back when the
        generation is not proven. Otherwise such a host is refused, with a list of what was found.
    type: bool
    default: false
  predecessors:
    description: Where earlier installations of this daemon are known to keep things.
    type: dict
    default: {}
    suboptions:
      units:
        description: Names of other units that do the same job.
        type: list
        elements: str
        default: []
      paths:
        description: Files of theirs, such as binaries.
        type: list
        elements: path
        default: []
      data:
        description: Directories of their data; the first that holds any becomes the first of O(data).
        type: list
        elements: dict
        default: []
        suboptions:
          path:
            description: The directory.
            type: path
            required: true
          holds:
            description: The entry that shows that it holds data.
            type: str
            required: true
  frozen:
    description:
      - Why what runs may not be restarted or stopped now; empty when it may. A run that would do so is refused with
        this reason; a reload passes, and so does the start of a daemon that does not run.
    type: str
    default: ""
  run_by:
    description: Set by the action plugin; who runs this, for the run record.
    type: str
    default: ""
  archive_file:
    description: Set by the action plugin; the archive on the host, sent from the controller.
    type: path
attributes:
  check_mode:
    support: full
    description: Changes nothing, and validates when the release is already on the host.
  diff_mode:
    support: full
    description: Contents of O(secret_files) are never shown.
extends_documentation_fragment: [tds.monitoring.proof]
author: The tds.monitoring authors
"""

EXAMPLES = r"""
- name: Put node_exporter in force
  tds.monitoring.daemon_generation:
    name: node_exporter
    user: node_exporter
    release:
      version: 1.12.1
      archive: https://artifacts.example/node_exporter-1.12.1.linux-amd64.tar.gz
      sha256: b51d8a76aa2a9156a55d501aca6276fae09e262259a5e4e831d2c2222f084e63
      binaries: [node_exporter]
    unit: "{{ lookup('ansible.builtin.template', 'daemon.service.j2') }}"
    arguments: ["--web.listen-address=127.0.0.1:9100"]
    proof:
      - url: http://127.0.0.1:9100/metrics
        metric: {name: node_exporter_build_info}

- name: Go back to the generation before
  tds.monitoring.daemon_generation:
    name: node_exporter
    user: node_exporter
    state: previous
"""

RETURN = r"""
outcome:
  description:
    - C(unchanged), or C(proven) (in check mode, would be tried).
    - Of a run that failed, C(refused) or C(busy) (nothing was changed), C(rolled_back), C(not_proven) (what was in
      force before is not well either), or C(failed).
  type: str
  returned: always
action:
  description: What was, or in check mode would be, done to the process.
  type: str
  returned: always
  sample: reload
generation:
  description: The generation in force before and after; C(null) when there was none.
  type: dict
  returned: always
  sample: {before: 4, after: 5}
reasons:
  description: Why something changed; empty when nothing did.
  type: list
  elements: str
  returned: always
fetched_bytes:
  description: Bytes that were downloaded.
  type: int
  returned: always
not_validated:
  description: In check mode, why the checkers could not run; C(null) when they did.
  type: str
  returned: always
"""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tds.monitoring.plugins.module_utils.accounts import (
    Account,
    excesses,
    find_account,
    refuse_without_root,
)
from ansible_collections.tds.monitoring.plugins.module_utils.declaration import Check, Declaration, environment_file
from ansible_collections.tds.monitoring.plugins.module_utils.drift import sha256
from ansible_collections.tds.monitoring.plugins.module_utils.findings import Predecessors
from ansible_collections.tds.monitoring.plugins.module_utils.generation import Busy, Store
from ansible_collections.tds.monitoring.plugins.module_utils.plan import FileFact, Manifest, Refusal, Release
from ansible_collections.tds.monitoring.plugins.module_utils.proof import PROBES, TLS
from ansible_collections.tds.monitoring.plugins.module_utils.record import append_or_warn
from ansible_collections.tds.monitoring.plugins.module_utils.release import ReleaseError
from ansible_collections.tds.monitoring.plugins.module_utils.service import Service, ServiceError
from ansible_collections.tds.monitoring.plugins.module_utils.transaction import (
    ArchiveNeeded,
    NotProven,
    Outcome,
    Transaction,
)


def file_options(secret: bool) -> dict[str, Any]:
    return {
        "path": {"type": "str", "required": True},
        "content": {"type": "str", "required": True, "no_log": secret},
        "mode": {"type": "str", "default": "0640"},
        "action": {"type": "str", "choices": ["none", "reload", "restart"], "default": "restart"},
        "source": {"type": "str", "default": ""},
    }


ARGUMENTS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "previous", "absent"], "default": "present"},
    "user": {"type": "str", "default": "root"},
    "release": {
        "type": "dict",
        "options": {
            "version": {"type": "str", "required": True},
            "archive": {"type": "str", "required": True},
            "sha256": {"type": "str", "required": True},
            "binaries": {"type": "list", "elements": "str", "default": []},
        },
    },
    "unit": {"type": "str"},
    "arguments": {"type": "list", "elements": "str", "default": []},
    "environment": {"type": "dict", "default": {}},
    "files": {"type": "list", "elements": "dict", "default": [], "options": file_options(secret=False)},
    "secret_files": {"type": "list", "elements": "dict", "default": [], "options": file_options(secret=True)},
    "links": {"type": "dict", "default": {}},
    "data": {"type": "list", "elements": "path", "default": []},
    "checks": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "command": {"type": "list", "elements": "str", "required": True},
            "source": {"type": "str", "default": ""},
            "harmless": {"type": "list", "elements": "str", "default": []},
            "reads": {"type": "list", "elements": "str", "default": []},
        },
    },
    "proof": PROBES,
    "proof_timeout": {"type": "float", "default": 20},
    "proof_tls": TLS,
    "progress_url": {"type": "str"},
    "keep": {"type": "int", "default": 3},
    "allow_downgrade": {"type": "bool", "default": False},
    "adopt": {"type": "bool", "default": False},
    "predecessors": {
        "type": "dict",
        "default": {},
        "options": {
            "units": {"type": "list", "elements": "str", "default": []},
            "paths": {"type": "list", "elements": "path", "default": []},
            "data": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"path": {"type": "path", "required": True}, "holds": {"type": "str", "required": True}},
            },
        },
    },
    "frozen": {"type": "str", "default": ""},
    "run_by": {"type": "str", "default": ""},
    "archive_file": {"type": "path"},
}


def declaration(params: dict[str, Any], account: Account) -> Declaration:
    """The module's parameters as a declaration.

    Raises:
        Refusal: a parameter is out of its form; the message names it.
    """
    _refuse_bad_names(params)
    contents = {
        "unit": params["unit"].encode(),
        "env": environment_file(params["arguments"], params["environment"]),
    }
    facts = {path: FileFact(sha256(content), "0644") for path, content in contents.items()}
    sources = {}
    for option, secret in (("files", False), ("secret_files", True)):
        for file in params[option]:
            path = f"etc/{file['path']}"
            contents[path] = file["content"].encode()
            facts[path] = FileFact(sha256(contents[path]), file["mode"], file["action"], secret)
            sources[path] = file["source"]
    release = params["release"]
    return Declaration(
        manifest=Manifest(
            files=facts,
            release=release and Release(release["version"], release["sha256"].lower(), tuple(release["binaries"])),
            links=params["links"],
            data=tuple(params["data"]),
            proof=tuple(_said(probe) for probe in params["proof"]),
            proof_timeout=params["proof_timeout"],
            proof_tls=params["proof_tls"],
            progress_url=params["progress_url"],
            user=account.name,
        ),
        contents=contents,
        sources=sources,
        checks=[Check(**check) for check in params["checks"]],
        archive=release["archive"] if release else "",
        account=account,
        keep=params["keep"],
        allow_downgrade=params["allow_downgrade"],
        adopt=params["adopt"],
        predecessors=Predecessors(**params["predecessors"]),
    )


def _said(probe: dict[str, Any]) -> dict[str, Any]:
    """A probe without the suboptions that nobody set, so that a new one is no change of the declaration."""
    return {
        key: _said(value) if isinstance(value, dict) else value for key, value in probe.items() if value is not None
    }


def _refuse_bad_names(params: dict[str, Any]) -> None:
    release = params["release"]
    forms = [("name", params["name"], r"[a-z][a-z0-9_-]*", "lower-case letters, digits, - and _")]
    if release:
        forms.append(("release.version", release["version"], r"\d[\w.+~-]*", "a version such as 3.13.4"))
        forms.append(("release.sha256", release["sha256"], r"[0-9a-fA-F]{64}", "64 hexadecimal digits"))
    for file in [*params["files"], *params["secret_files"]]:
        forms.append(("files.path", file["path"], r"(?!.*\.\.)\w[\w./-]*", "a path below /etc/<name>"))
        forms.append((f"files.mode of {file['path']}", file["mode"], r"0[0-7]{3}", "four octal digits, quoted"))
    for option, value, form, wanted in forms:
        if not re.fullmatch(form, value):
            raise Refusal(f"{option} is {value!r}: write {wanted}")
    paths = [file["path"] for file in [*params["files"], *params["secret_files"]]]
    if twice := sorted({path for path in paths if paths.count(path) > 1}):
        raise Refusal(f"files: {', '.join(twice)} is declared twice")
    flags = f"/opt/tds/{params['name']}/current/env"
    if flags not in params["unit"]:
        raise Refusal(f"unit does not read its flags: add EnvironmentFile={flags} to its [Service]")
    reloaded = [file["path"] for file in [*params["files"], *params["secret_files"]] if file["action"] == "reload"]
    if reloaded and "\nExecReload=" not in params["unit"]:
        raise Refusal(f"files: {', '.join(reloaded)} takes a reload, and the unit has no ExecReload=")
    if params["keep"] < 2:
        raise Refusal(f"keep is {params['keep']}: keep at least 2, or there is nothing to go back to")


def execute(module: AnsibleModule) -> Outcome:
    params, check_mode = module.params, module.check_mode
    archive_file = Path(params["archive_file"]) if params["archive_file"] else None
    store = Store(params["name"])
    transaction = Transaction(store, Service(params["name"]), archive_file, params["frozen"])
    declared = declaration(params, find_account(params["user"])) if params["state"] == "present" else None
    if not (declared or store.is_there()):  # nothing to take away or to go back from, and no lock to leave behind
        return Outcome()
    if declared and (more := list(excesses(params["user"]))):
        module.warn(
            f"{params['name']}: the account {params['user']} has more than a daemon needs: {', '.join(more)}. It stays "
            f"as it is. Mend, with {params['name']} stopped: "
            f"usermod --shell /usr/sbin/nologin --home /nonexistent --gid {params['user']} --groups '' {params['user']}"
        )
    with store.locked(check_mode):
        if declared:
            return transaction.present(declared, check_mode)
        if params["state"] == "absent":
            return transaction.absent(check_mode)
        current = store.current_id()
        return transaction.previous(find_account(store.manifest(current).user if current else "root"), check_mode)


class DiscreetModule(AnsibleModule):  # type: ignore[misc]
    """Keeps its arguments out of the host's log: contents would fill it, and it masks no secret that has line ends."""

    def _log_invocation(self) -> None:
        self.log(f"Invoked with name={self.params['name']} state={self.params['state']}")


def shown(outcome: Outcome) -> list[dict[str, str]]:
    """What ``--diff`` shows: why, for what changes no content too; then the contents."""
    if not outcome.changed:
        return []
    because = "".join(f"  {reason}\n" for reason in outcome.reasons)
    return [{"prepared": f"action: {outcome.action}, because\n{because}"}, *outcome.diff]


def failure(error: Exception) -> str:
    """One word for a run that failed, for those who read results by machine."""
    if isinstance(error, NotProven):
        return "rolled_back" if error.rolled_back else "not_proven"
    if isinstance(error, Busy):
        return "busy"
    return "refused" if isinstance(error, (Refusal, ReleaseError)) else "failed"


@contextmanager
def recorded(module: AnsibleModule) -> Iterator[dict[str, Any]]:
    """Adds a run that changed the host, or tried to, to its run record; what is put into the answer goes into it."""
    name, started = module.params["name"], time.monotonic()
    store = Store(name)
    before = store.current_id()
    facts: dict[str, Any] = {}
    try:
        yield facts
    finally:
        if facts and not module.check_mode:
            generation = {"before": before, "after": store.current_id()}
            who = {"daemon": name, "by": module.params["run_by"], "state": module.params["state"]}
            seconds = round(time.monotonic() - started, 1)
            append_or_warn({**who, "generation": generation, **facts, "seconds": seconds}, module.warn)


def main() -> None:
    module = DiscreetModule(
        argument_spec=ARGUMENTS, required_if=[("state", "present", ("unit",))], supports_check_mode=True
    )
    os.umask(0o022)
    try:
        refuse_without_root()
        with recorded(module) as run:
            try:
                outcome = execute(module)
            except (Refusal, ReleaseError, Busy, NotProven, ServiceError, OSError) as error:
                run |= {"result": failure(error), "why": [str(error).partition("\n")[0]]}
                raise
            if outcome.changed:
                run |= {"result": "proven", "action": str(outcome.action), "why": list(outcome.reasons)}
    except ArchiveNeeded as need:
        module.exit_json(changed=False, needs_archive=str(need))
    except (Refusal, ReleaseError, Busy, NotProven, ServiceError, OSError) as error:
        module.fail_json(msg=f"{module.params['name']}: {error}", outcome=failure(error))
    if outcome.not_validated:
        module.warn(f"{module.params['name']}: {outcome.not_validated}")
    module.exit_json(
        changed=outcome.changed,
        outcome="proven" if outcome.changed else "unchanged",
        action=str(outcome.action),
        generation={"before": outcome.before, "after": outcome.after},
        reasons=list(outcome.reasons),
        fetched_bytes=outcome.fetched_bytes,
        not_validated=outcome.not_validated,
        diff=shown(outcome),
    )


if __name__ == "__main__":
    main()
