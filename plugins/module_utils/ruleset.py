"""What the firewall lets in, and the nftables text that does it. Pure: no input, no output, no host."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

TABLE = "inet tds_monitoring"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")  # it is written into a comment of the rules

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]  # noqa: UP007  a host's Python 3.9 evaluates it
Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]  # noqa: UP007

# A declaration replaces the table in one transaction: there is no moment with half of the rules or with none.
TEXT = """\
# Written by the role firewall; the next run replaces what is edited here.
table {table}
delete table {table}
table {table} {{
	chain unwelcome {{
		limit rate 1/second burst 5 packets log prefix "tds_monitoring drops: " level info
		counter drop
	}}

	chain replies_only {{
		tcp flags & (fin | syn | rst | ack) != syn accept
		meta l4proto tcp counter reject with tcp reset
		counter reject
	}}

	chain input {{
		type filter hook input priority filter; policy {policy};
		iif "lo" accept
{input}	}}

	chain output {{
		type filter hook output priority filter; policy accept;
{output}	}}
}}
"""

# Where all is closed but what is listed. Nowhere else may a rule say `ct`: one is enough to have the kernel track every
# connection of a host, and on an application host that is the trading traffic.
CLOSED = (
    # Before all others: to conntrack the second ping is established.
    "icmp type echo-request limit rate over 10/second burst 20 packets drop",
    "icmpv6 type echo-request limit rate over 10/second burst 20 packets drop",
    "ct state established,related accept",
    'ct state new tcp flags & (syn | ack) == ack accept comment "of a connection that is older than this table"',
    "icmp type { echo-request, destination-unreachable, time-exceeded, parameter-problem } accept",
    "icmpv6 type { echo-request, destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept",
    "icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-query } accept",
    'meta nfproto ipv4 udp sport 67 udp dport 68 accept comment "dhcp"',
    'ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept comment "dhcpv6"',
)


@dataclass(frozen=True)
class Allowance:
    """A TCP port and the networks that may connect to it; ``source`` names the variable they come from."""

    name: str
    port: int
    networks: tuple[Network, ...]
    source: str


@dataclass(frozen=True)
class Ruleset:
    """``closed`` drops all that is not allowed; without it, only the ports that are listed are restricted.

    ``silent`` has the numbers of accounts whose processes may answer and open no connection, by name.
    """

    closed: bool
    allowed: tuple[Allowance, ...]
    silent: Mapping[str, int]

    def text(self) -> str:
        """What ``nft -f`` takes."""
        ports = sorted({allowance.port for allowance in self.allowed})
        rules = [*(CLOSED if self.closed else ()), *(rule for port in ports for rule in self._accepting(port))]
        if self.closed:
            rules.append("jump unwelcome")
        elif ports:
            rules.append(f"tcp dport {_set(ports)} jump unwelcome")
        silent = [f'meta skuid {uid} jump replies_only comment "{name}"' for name, uid in sorted(self.silent.items())]
        policy = "drop" if self.closed else "accept"
        return TEXT.format(table=TABLE, policy=policy, input=_indented(rules), output=_indented(silent))

    def _accepting(self, port: int) -> Iterator[str]:
        names = sorted({allowance.name for allowance in self._listed(port)})
        networks = [network for allowance in self._listed(port) for network in allowance.networks]
        four = ipaddress.collapse_addresses(one for one in networks if isinstance(one, ipaddress.IPv4Network))
        six = ipaddress.collapse_addresses(one for one in networks if isinstance(one, ipaddress.IPv6Network))
        for family, word, merged in (("ipv4", "ip", list(four)), ("ipv6", "ip6", list(six))):
            if merged:
                everyone = merged[0].prefixlen == 0
                who = f"meta nfproto {family}" if everyone else f"{word} saddr {_set(merged)}"
                yield f'{who} tcp dport {port} accept comment "{" ".join(names)}"'

    def admits(self, source: Address, port: int) -> bool:
        """Whether a new TCP connection from ``source`` to ``port`` is let in."""
        if source.is_loopback:
            return True
        listed = self._listed(port)
        if not listed:
            return not self.closed
        return any(source in network for allowance in listed for network in allowance.networks)

    def why_not(self, source: Address, port: int) -> str:
        """In words, why :meth:`admits` says no, and what to mend."""
        listed = self._listed(port)
        if not listed:
            return f"no entry of firewall_allow opens port {port}. Mend: firewall_ssh_port or firewall_allow"
        networks = ", ".join(str(network) for allowance in listed for network in allowance.networks) or "nobody"
        sources = ", ".join(dict.fromkeys(allowance.source for allowance in listed))
        return f"port {port} is open to {networks} and {source} is not among them. Mend: {sources}"

    def _listed(self, port: int) -> list[Allowance]:
        return [allowance for allowance in self.allowed if allowance.port == port]


def _indented(rules: Iterable[str]) -> str:
    return "".join(f"\t\t{rule}\n" for rule in rules)


def _set(members: Sequence[object]) -> str:
    return f"{{ {', '.join(map(str, members))} }}"


# --- reading a declaration


def network(value: object) -> Network:
    """An address or a network as nftables takes it.

    Raises:
        ValueError: it is none; the message is the remedy.
    """
    remedy = "write an IP address, or a network such as 192.0.2.0/24; nftables looks up no names"
    if not isinstance(value, str) or "%" in value:
        raise ValueError(remedy)
    try:
        return ipaddress.ip_network(value)
    except ValueError:
        pass
    try:
        wider = ipaddress.ip_interface(value).network
    except ValueError:
        raise ValueError(remedy) from None
    raise ValueError(f"write {wider} for the network, or the address alone")


def is_port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536


def allowance_findings(allow: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every mistake in entries ``{name, port, from, source}``, each with variable, value and remedy; each only once."""
    return list(dict.fromkeys(_findings(allow)))


def _findings(allow: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for entry in allow:
        name, port, members = entry.get("name"), entry.get("port"), entry.get("from")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            yield f"firewall_allow has the name {name!r}: use letters, digits, _ and -, beginning with a letter"
        if not is_port(port):
            yield f"port of {name} in firewall_allow is {port!r}: write a number between 1 and 65535"
        source = _source(entry)
        if not isinstance(members, Sequence) or isinstance(members, str):
            yield f"{source} is {members!r}: write a list of addresses and networks; [] lets nobody in"
            continue
        for member in members:
            try:
                network(member)
            except ValueError as error:
                yield f"{source} is {member!r}: {error}"


def _source(entry: Mapping[str, Any]) -> str:
    return entry.get("source") or f"from of {entry.get('name')} in firewall_allow"


def allowances(allow: Iterable[Mapping[str, Any]]) -> tuple[Allowance, ...]:
    """Entries without mistakes, as :func:`allowance_findings` finds them, in the form of a :class:`Ruleset`."""
    return tuple(
        Allowance(entry["name"], entry["port"], tuple(map(network, entry["from"])), _source(entry)) for entry in allow
    )
