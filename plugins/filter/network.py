"""Who may connect to what: the firewall's entries, and every mistake in them and in the ports.

All are functions of their arguments alone, so the result does not depend on ``--limit`` or ``--tags``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from ansible_collections.tds.monitoring.plugins.module_utils.ruleset import allowance_findings, is_port


def ports_by_host(ports: Mapping[str, int], hosts: Mapping[str, Iterable[str]]) -> dict[str, dict[str, int]]:
    """``ports`` (by name) on each host that one of them is on; ``hosts`` says where each name is."""
    found: dict[str, dict[str, int]] = {}
    for name, port in ports.items():
        for host in hosts[name]:
            found.setdefault(host, {})[name] = port
    return found


def allowed_from(ports: Mapping[str, int], sources: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Entries of ``firewall_allow`` that open each of ``ports`` (by name) to each of ``sources`` (addresses by host).

    A port is listed, and so restricted, also when there is nobody to open it to.
    """
    variable = "monitoring_source_addresses"
    return [
        {"name": name, "port": port, "from": addresses, "source": f"{variable} of {host}"}
        for name, port in ports.items()
        for host, addresses in (sources or {"no Prometheus host": []}).items()
    ]


def network_findings(allow: Iterable[Mapping[str, Any]], ports: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Every mistake in entries of ``firewall_allow``, and in the stack's own ``ports`` by host and name.

    Each with variable, value and remedy, and each only once, however many hosts have it.
    """
    return allowance_findings(allow) + list(_ports_used_twice(ports))


def _ports_used_twice(ports: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    hosts: dict[tuple[str, str, int], list[str]] = {}
    for host, named in ports.items():
        first: dict[int, str] = {}
        for name, port in named.items():
            if not is_port(port):
                continue  # allowance_findings tells it: the same ports are the firewall's
            other = first.setdefault(port, name)
            if other != name:
                hosts.setdefault((name, other, port), []).append(host)
    for (name, other, port), where in hosts.items():
        also = f"{other}_port is that too, on {', '.join(where)}"
        yield f"{name}_port is {port!r}: {also}; choose another for one of them"


def clear_findings(listeners: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every listener that others reach in clear.

    Each has the ``variable`` to mend, its ``addresses``, and its ``tls``, empty for none.
    """
    return [
        f"{listener['variable']} is {address!r}, where others read it in clear: set its _tls, or listen on 127.0.0.1"
        for listener in listeners
        if not listener["tls"]
        for address in listener["addresses"]
        if not _is_loopback(address)
    ]


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return address == "localhost"


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            function.__name__: function for function in (allowed_from, clear_findings, network_findings, ports_by_host)
        }
