#!/usr/bin/python
"""See whether a host's keys and certificates are as declared, in one execution."""

from __future__ import annotations

DOCUMENTATION = r"""
module: certificates_look
short_description: See whether keys and certificates are where and as they must be
version_added: 0.3.0
description:
  - Reads the directory that the role certificates fills, and changes nothing. Whether a certificate is still good is
    judged from its text, on the controller; here it is seen that its key belongs to it, and that each file has its
    owner, its mode and its contents.
options:
  directory:
    description: Where they are.
    type: path
    required: true
  purposes:
    description: By purpose, the group that may read the key together with its certificate.
    type: dict
    required: true
  authorities:
    description: The text that C(ca.crt) must have.
    type: str
    required: true
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author: The tds.monitoring authors
"""

EXAMPLES = r"""
- name: Look at what is there
  tds.monitoring.certificates_look:
    directory: /etc/tds/tls
    purposes: {server: tds-tls-server, client: tds-tls-client}
    authorities: "{{ lookup('ansible.builtin.file', 'ca.crt', rstrip=false) }}"
"""

RETURN = r"""
certificates:
  description: By purpose, the text of the certificate; empty where there is none.
  type: dict
  returned: always
findings:
  description: What is not as it must be; the present certificates' contents are not judged.
  type: list
  elements: str
  returned: always
"""

import grp
import os
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from stat import S_IMODE

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tds.monitoring.plugins.module_utils.accounts import refuse_without_root
from ansible_collections.tds.monitoring.plugins.module_utils.plan import Refusal


def text(path: Path) -> str:
    """Of a file, with its line ends as they are; empty where there is none, and replaced where it is no text."""
    return path.read_bytes().decode(errors="replace") if path.exists() else ""


def together(certificate: str, key: str) -> str:
    """Text of the file that has both, as M(ansible.builtin.assemble) writes it."""
    return certificate + ("" if certificate.endswith("\n") else "\n") + key


def findings(directory: Path, purposes: Mapping[str, str], authorities: str) -> Iterator[str]:
    """What is not as it must be, one line for each file."""
    groups = {group.gr_name: group.gr_gid for group in grp.getgrall()}
    own = os.getegid()
    yield from _wrong(directory, 0o755, own)
    yield from _wrong(directory / "ca.crt", 0o644, own)
    if text(directory / "ca.crt") != authorities:
        yield "ca.crt has other authorities"
    for purpose, group in purposes.items():
        certificate, key, both = (directory / f"{purpose}.{kind}" for kind in ("crt", "key", "pem"))
        yield from _wrong(certificate, 0o644, own)
        yield from _wrong(key, 0o600, own)
        yield from _wrong(both, 0o640, groups.get(group))
        if text(both) != together(text(certificate), text(key)):
            yield f"{both.name} is not {certificate.name} and {key.name}"
        elif not _belong_together(both):
            yield f"{key.name} is not the key of {certificate.name}"


def _wrong(path: Path, mode: int, group: int | None) -> Iterator[str]:
    try:
        there = path.lstat()
    except FileNotFoundError:
        yield f"there is no {path.name}"
        return
    found = (there.st_uid, there.st_gid, S_IMODE(there.st_mode))
    if found != (os.geteuid(), group, mode):
        yield f"owner, group and mode of {path.name} are {found[0]}, {found[1]} and {found[2]:04o}"


def _belong_together(both: Path) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(both)
    except (ssl.SSLError, OSError):
        return False
    return True


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "purposes": {"type": "dict", "required": True},
            "authorities": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        refuse_without_root()
    except Refusal as reason:
        module.fail_json(msg=str(reason))
    directory, purposes = Path(module.params["directory"]), module.params["purposes"]
    module.exit_json(
        certificates={purpose: text(directory / f"{purpose}.crt") for purpose in purposes},
        findings=list(findings(directory, purposes, module.params["authorities"])),
    )


if __name__ == "__main__":
    main()
