"""What a probe of a proof is made of, for the modules that take them."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  proof_tls:
    description: How https URLs are asked: those of O(proof) and, where the module has one, of the progress page.
    type: dict
    suboptions:
      ca:
        description: File of the authorities to trust.
        type: path
        required: true
      client:
        description: File of the client certificate to show, with its key.
        type: path
  proof:
    suboptions:
      url:
        description:
          - Asked with GET; must answer 200. C(tls://host:port) answers with the certificate that is presented there.
        type: str
        required: true
      metric:
        description: A series that must be on the page, in Prometheus' text format.
        type: dict
        suboptions:
          name:
            description: Its name.
            type: str
            required: true
          labels:
            description: Labels that it must carry.
            type: dict
            default: {}
          value:
            description: The value it must have.
            type: float
          after_action:
            description: Its value must be a time after the reload or restart of this run.
            type: bool
            default: false
      certificate:
        description: A file; its first certificate must be the one presented at a C(tls://) URL.
        type: path
      rows:
        description: A list in a JSON answer that must be equal to the declaration, in any order.
        type: dict
        suboptions:
          at:
            description: Dotted path of the list; lists on the way are flattened.
            type: str
            required: true
          keys:
            description: Dotted paths, in an item of the list, of what makes a row.
            type: list
            elements: str
            required: true
          equal:
            description: The rows that must be there, as lists of strings.
            type: list
            elements: list
            required: true
          having:
            description: Dotted path; items without anything there are left out.
            type: str
"""
