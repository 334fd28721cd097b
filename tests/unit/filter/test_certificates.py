"""The certificate filters: every reason why one will not do, and every mistake in the site's files."""

from __future__ import annotations

import base64
import ipaddress
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.tds.monitoring.plugins.filter import certificates as subject
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.authority import DAY, Authority, broken, der_of, key_pem, new_key, pem_of

NOW = datetime.now(UTC)
SECOND = timedelta(seconds=1)
NAMES = ["app1", "192.0.2.20", "2001:db8::30"]
ROOT = Authority("Root")
INTERMEDIATE = Authority("Intermediate", ROOT)
PASSPHRASE = "canary of the passphrase"
GARBAGE = "-----BEGIN CERTIFICATE-----\nnot base64\n-----END CERTIFICATE-----\n"


def on_day(days: float) -> str:
    return f"{NOW + days * DAY:%Y-%m-%d}"


def until(pem: str) -> datetime:
    return x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc


def faults(pem: str, purpose: str = "server", names: list[str] = NAMES, trusted: str = ROOT.pem, **more: Any) -> Any:
    return subject.certificate_faults(pem, purpose, names, trusted, **more)


def issued(by: Authority = ROOT, names: list[str] = NAMES, **how: Any) -> str:
    return by.issue(names, **how)[0]


# --- Names


@pytest.mark.parametrize(
    ("names", "alternative"),
    [
        ([], []),
        (["app1", "192.0.2.20", "::1"], ["DNS:app1", "IP:192.0.2.20", "IP:::1"]),
        (["b", "a", "b"], ["DNS:b", "DNS:a"]),
        (["2001:DB8:0:0::30", "[2001:db8::30]"], ["IP:2001:db8::30"]),
        (["DNS:app1", "IP:192.0.2.20", "app1"], ["DNS:app1", "IP:192.0.2.20"]),
        (["192.0.2.256", "1.2.3"], ["DNS:192.0.2.256", "DNS:1.2.3"]),
    ],
)
def test_names_and_addresses_are_told_apart_and_kept_once(names: list[str], alternative: list[str]) -> None:
    assert subject.alternative_names(names) == alternative


HOST_NAME = st.from_regex(r"[a-z]([a-z0-9.-]{0,20}[a-z0-9])?", fullmatch=True)


@given(st.lists(HOST_NAME | st.ip_addresses().map(str)))
def test_alternative_names_say_what_was_written_and_are_their_own(names: list[str]) -> None:
    alternative = subject.alternative_names(names)
    assert {name.split(":", 1)[1] for name in alternative} == set(names)
    assert subject.alternative_names(alternative) == alternative


@given(st.ip_addresses(v=6))
def test_an_ipv6_address_is_the_same_however_it_is_spelled(address: ipaddress.IPv6Address) -> None:
    spelled = [str(address), address.exploded, address.exploded.upper(), f"[{address}]"]
    assert len(subject.alternative_names(spelled)) == 1


# --- What is wrong with a certificate


def test_a_certificate_that_will_do_has_no_fault() -> None:
    pem, key = ROOT.issue(NAMES)
    fingerprint = subject.fingerprint(load_pem_private_key(key.encode(), None).public_key())
    for purpose in ("server", "client"):
        assert faults(pem, purpose, key=fingerprint, days=9) == []
    assert faults(pem, names=[]) == []
    assert faults(pem, names=["2001:DB8:0::30", "IP:2001:db8:0:0:0::30", "DNS:app1"]) == []
    assert faults(issued(uses=[])) == []  # who says nothing of uses is for any
    assert faults(f"a line before\n{pem}and after\n") == []


SERVER = issued()
OTHER_ROOT = Authority("Root")  # of the same name, with another key

FAULTS: dict[str, tuple[Callable[[], Any], str]] = {
    "expired": (lambda: faults(issued(days=-2)), f"it expired on {on_day(-2)}"),
    "not yet valid": (lambda: faults(issued(since=3)), f"it is not valid before {on_day(3)}"),
    "soon": (lambda: faults(issued(days=10), days=10.5), f"it expires on {on_day(10)}"),
    "client's": (lambda: faults(issued(uses=["client"])), "it is not for use as a server"),
    "server's": (lambda: faults(issued(uses=["server"]), "client"), "it is not for use as a client"),
    "wrong name": (
        lambda: faults(issued(names=["app1", "app2"]), names=["app3"]),
        "it is not for DNS:app3 but for DNS:app1, DNS:app2",
    ),
    "wrong address": (
        lambda: faults(issued(), names=["app1", "192.0.2.21", "2001:db8::31"]),
        "it is not for IP:192.0.2.21, IP:2001:db8::31 but for DNS:app1, IP:192.0.2.20, IP:2001:db8::30",
    ),
    "no name": (lambda: faults(issued(names=[]), names=["app1"]), "it is not for DNS:app1 but for no name"),
    "an address is no name": (
        lambda: faults(issued(names=["192.0.2.20"]), names=["20.2.0.192.in-addr.arpa"]),
        "it is not for DNS:20.2.0.192.in-addr.arpa but for IP:192.0.2.20",
    ),
    "another key": (
        lambda: faults(issued(), key=subject.fingerprint(new_key().public_key())),
        "it belongs to another key",
    ),
    "another authority": (
        lambda: faults(issued(Authority("Other"))),
        "its issuer CN=Other does not lead to a trusted authority that is valid now",
    ),
    "another authority of the same name": (
        lambda: faults(issued(OTHER_ROOT)),
        "its issuer CN=Root does not lead to a trusted authority that is valid now",
    ),
    "no PEM": (lambda: faults("junk"), "it is no certificate in PEM"),
    "empty": (lambda: faults(""), "it is no certificate in PEM"),
    "garbage": (lambda: faults(GARBAGE), "it is no certificate in PEM"),
    "only a key": (lambda: faults(key_pem(new_key())), "it is no certificate in PEM"),
    "an unknown version": (
        lambda: faults(broken(SERVER, b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05")),
        "it is no certificate in PEM",
    ),
    "an extension twice": (
        lambda: faults(broken(SERVER, b"\x55\x1d\x11", b"\x55\x1d\x25")),
        "it is no certificate in PEM",
    ),
    "a key of an unknown kind": (
        lambda: faults(broken(SERVER, b"\x2a\x86\x48\xce\x3d\x02\x01", b"\x2a\x86\x48\xce\x3d\x02\x7f")),
        "it is no certificate in PEM",
    ),
    "garbage in its chain": (lambda: faults(issued() + GARBAGE), "it is no certificate in PEM"),
    "nothing trusted": (lambda: faults(issued(), trusted=""), "the authorities to trust are no certificates in PEM"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_each_fault_is_the_only_one_and_says_what_it_is(case: str) -> None:
    found, expected = FAULTS[case]
    assert found() == [expected]


def test_all_faults_are_said_at_once() -> None:
    other = subject.fingerprint(new_key().public_key())
    found = faults(issued(Authority("Other"), ["x"], uses=["client"], days=-2), key=other)
    assert [fault.split(" ")[:3] for fault in found] == [
        ["it", "expired", "on"],
        ["it", "is", "not"],
        ["it", "is", "not"],
        ["it", "belongs", "to"],
        ["its", "issuer", "CN=Other"],
    ]


@pytest.mark.parametrize("days", [0, 30])
def test_it_must_be_good_for_more_than_the_days_that_are_asked_for(days: int) -> None:
    authority = Authority(days=400)
    pem = issued(authority, days=397)
    last = until(pem) - days * DAY
    assert faults(pem, trusted=authority.pem, days=days, now=last - SECOND) == []
    assert len(faults(pem, trusted=authority.pem, days=days, now=last)) == 1


def test_it_is_valid_from_its_first_second() -> None:
    pem = issued(since=-0.5)
    first = x509.load_pem_x509_certificate(pem.encode()).not_valid_before_utc
    assert faults(pem, now=first) == []
    assert len(faults(pem, now=first - SECOND)) == 1


def test_an_unknown_purpose_is_refused_by_name() -> None:
    with pytest.raises(AnsibleFilterError, match="purpose of the filter certificate_faults is 'sever'"):
        faults(issued(), "sever")


# --- What leads to a trusted authority


def test_a_chain_may_go_through_others_in_any_order_and_end_at_any_that_is_trusted() -> None:
    second = Authority("Second", INTERMEDIATE)
    pem = issued(second)
    for chain in ([second, INTERMEDIATE], [INTERMEDIATE, second], [second, INTERMEDIATE, ROOT]):
        assert faults(pem + "".join(one.pem for one in chain)) == []
    assert faults(issued(INTERMEDIATE), trusted=INTERMEDIATE.pem) == []
    assert faults(issued(ROOT), trusted=OTHER_ROOT.pem + ROOT.pem) == []  # while one follows the other
    assert faults(issued(OTHER_ROOT), trusted=OTHER_ROOT.pem + ROOT.pem) == []


LOOP_KEY = new_key()
BACK = Authority("Back", Authority("Loop", key=LOOP_KEY))
LOOP = Authority("Loop", BACK, key=LOOP_KEY)

CHAINS: dict[str, Callable[[], Any]] = {
    "a link is missing": lambda: faults(issued(INTERMEDIATE)),
    "the link is of the same name and another key": lambda: faults(
        issued(INTERMEDIATE) + Authority("Intermediate", ROOT).pem
    ),
    "it ends at a root that came along and is not trusted": lambda: faults(issued(OTHER_ROOT) + OTHER_ROOT.pem),
    "the link has expired": lambda: through(Authority("Old", ROOT, days=-1)),
    "the link is not yet valid": lambda: through(Authority("New", ROOT, since=1)),
    "the link may not sign": lambda: through(Authority("A host", ROOT, ca=False)),
    "the link is a host's and says nothing of signing": lambda: through(
        Authority("app1", key=LOOP_KEY), issued(names=["app1"], key=LOOP_KEY)
    ),
    "the authority has expired": lambda: under(Authority(days=-1)),
    "the authority is not yet valid": lambda: under(Authority(since=1)),
    "the authority is none": lambda: under(Authority(ca=False)),
    "links lead to each other": lambda: faults(issued(LOOP) + LOOP.pem + BACK.pem),
}


def through(link: Authority, pem: str = "") -> Any:
    return faults(issued(link) + (pem or link.pem))


def under(authority: Authority) -> Any:
    return faults(issued(authority), trusted=authority.pem)


@pytest.mark.parametrize("case", CHAINS)
def test_a_chain_that_leads_nowhere_is_the_only_fault(case: str) -> None:
    (fault,) = CHAINS[case]()
    assert fault.endswith("does not lead to a trusted authority that is valid now")


# --- Whatever a file holds


@given(st.text() | st.binary().map(lambda content: GARBAGE.replace("not base64", base64.b64encode(content).decode())))
def test_garbage_is_a_fault_and_never_an_error(pem: str) -> None:
    assert faults(pem) == ["it is no certificate in PEM"]
    assert faults(SERVER, trusted=pem) == ["the authorities to trust are no certificates in PEM"]


GOOD = der_of(SERVER)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_a_certificate_with_any_byte_changed_is_judged_and_never_an_error(place: int, value: int) -> None:
    changed = GOOD[:place] + bytes([value]) + GOOD[place + 1 :]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cryptography's, of what it will refuse some day
        found = faults(pem_of(changed))
    assert (found == []) == (changed == GOOD)


# --- What a certificate is


def test_facts_are_what_a_certificate_says() -> None:
    pem = issued(INTERMEDIATE, uses=["client"], days=10)
    assert subject.certificate_facts(pem + ROOT.pem, now=NOW) == {
        "subject": "CN=app1",
        "issuer": "CN=Intermediate",
        "names": ["DNS:app1", "IP:192.0.2.20", "IP:2001:db8::30"],
        "uses": ["client"],
        "until": on_day(10),
        "days_left": (until(pem) - NOW).days,
    }
    assert subject.certificate_facts(pem)["days_left"] in (9, 10)
    assert subject.certificate_facts(pem, now=until(pem) + SECOND)["days_left"] == -1
    anything = subject.certificate_facts(issued(names=[], uses=[]))
    assert (anything["names"], anything["uses"]) == ([], ["server", "client"])


@pytest.mark.parametrize("pem", ["", GARBAGE])
def test_facts_of_nothing_are_refused(pem: str) -> None:
    with pytest.raises(AnsibleFilterError, match="it is no certificate in PEM"):
        subject.certificate_facts(pem)


# --- The site's authority


@dataclass
class Pki:
    """A directory as a first run leaves it."""

    directory: Path
    authority: Authority

    def write(self, name: str, content: str | bytes, mode: int = 0o600) -> None:
        file = self.directory / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        file.chmod(mode)

    def findings(self, passphrase: Any = PASSPHRASE) -> list[str]:
        return subject.authority_findings(str(self.directory), passphrase)


def encrypted(key: Any, passphrase: str = PASSPHRASE, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return bytes(key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(passphrase.encode())))


def lay(pki: Pki, authority: Authority) -> None:
    pki.write("ca.crt", authority.pem, 0o644)
    pki.write("ca.key", encrypted(authority.key))


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    made = Pki(tmp_path / "pki", Authority())
    made.directory.mkdir()
    lay(made, made.authority)
    return made


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_an_authority_that_can_sign_has_no_finding(pki: Pki, form: PrivateFormat) -> None:
    pki.write("ca.key", encrypted(pki.authority.key, form=form))
    assert pki.findings() == []


def test_a_site_that_has_no_authority_yet_needs_only_a_passphrase(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "pki"):
        assert subject.authority_findings(str(directory), PASSPHRASE) == []
        (finding,) = subject.authority_findings(str(directory), "")
        assert "set vault_certificates_ca_passphrase in group_vars/all/vault.yml" in finding


def make_directory(place: Path) -> None:
    place.unlink()
    place.mkdir()


AUTHORITY: dict[str, tuple[Callable[[Pki], Any], str]] = {
    "expired": (lambda pki: lay(pki, Authority(days=-2)), f"ca.crt expired on {on_day(-2)}: move ca.crt and ca.key"),
    "not one": (lambda pki: lay(pki, Authority(ca=False)), "ca.crt is no authority's certificate: put it back"),
    "garbage": (lambda pki: pki.write("ca.crt", GARBAGE), "ca.crt is no certificate in PEM: put it back"),
    "DER": (lambda pki: pki.write("ca.crt", GOOD), "ca.crt is no certificate in PEM: put it back"),
    "directory": (
        lambda pki: make_directory(pki.directory / "ca.crt"),
        "ca.crt cannot be read (Is a directory): give",
    ),
    "no key": (
        lambda pki: (pki.directory / "ca.key").unlink(),
        "ca.key cannot be read (No such file or directory), and without it nothing can be signed: put it back",
    ),
    "garbage for a key": (lambda pki: pki.write("ca.key", b"\xff"), "ca.key is no private key in PEM: put it back"),
    "key in clear": (
        lambda pki: pki.write("ca.key", key_pem(pki.authority.key)),
        "ca.key is not encrypted by certificates_ca_passphrase, and whoever read it can sign: move ca.crt and ca.key",
    ),
    "key of another passphrase": (
        lambda pki: pki.write("ca.key", encrypted(pki.authority.key, "canary of another one")),
        "ca.key is not opened by certificates_ca_passphrase: write the one that it was made with",
    ),
    "broken key": (
        lambda pki: pki.write("ca.key", encrypted(pki.authority.key)[:-60]),
        "ca.key is not opened by certificates_ca_passphrase: write",
    ),
    "key of another authority": (
        lambda pki: pki.write("ca.key", encrypted(new_key())),
        "ca.key is not the key of ca.crt: after a rotation that was cut short run playbooks/rotate_ca.yml again",
    ),
}


@pytest.mark.parametrize("case", AUTHORITY)
def test_each_mistake_in_the_authority_is_the_only_finding(pki: Pki, case: str) -> None:
    make, expected = AUTHORITY[case]
    make(pki)
    (finding,) = pki.findings()
    assert finding.startswith(f"certificates_ca_directory is '{pki.directory}': {expected}")
    assert_silent(finding, pki.directory)


@pytest.mark.parametrize("passphrase", ["", "canary", "canary-here", None, 123456789012, ["canary of the passphrase"]])
def test_a_passphrase_that_is_short_or_no_text_is_refused_and_not_shown(pki: Pki, passphrase: Any) -> None:
    (finding,) = pki.findings(passphrase)
    assert finding.startswith("certificates_ca_passphrase is missing or shorter than 12 characters: set")
    assert "canary" not in finding
    assert "123456789012" not in finding


def test_a_passphrase_of_the_shortest_length_is_taken(pki: Pki) -> None:
    passphrase = "x" * subject.SHORTEST_PASSPHRASE
    pki.write("ca.key", encrypted(pki.authority.key, passphrase))
    assert pki.findings(passphrase) == []


def test_all_mistakes_in_the_authority_are_said_at_once(pki: Pki) -> None:
    pki.write("ca.crt", Authority(days=-2, ca=False).pem)
    told = [finding.split("': ")[1].split(" ")[:2] for finding in pki.findings()]
    assert told == [["ca.crt", "expired"], ["ca.crt", "is"], ["ca.key", "is"]]


def test_an_encrypted_key_may_be_read_since_no_repository_keeps_its_mode(pki: Pki) -> None:
    (pki.directory / "ca.key").chmod(0o644)
    assert pki.findings() == []


def test_what_is_trusted_is_the_authority_and_those_before_and_after_it(pki: Pki) -> None:
    others = {name: Authority(name) for name in ("next", "previous", "old", "a.ca")}
    for name, authority in others.items():
        pki.write(f"{name}.crt", authority.pem.rstrip())
    found = subject.authorities(str(pki.directory))
    assert found == {"ca": pki.authority.pem, "next": others["next"].pem, "previous": others["previous"].pem}
    trusted = "".join(found.values())
    for authority in (pki.authority, others["next"], others["previous"]):
        assert faults(issued(authority), trusted=trusted) == []
    assert faults(issued(others["old"]), trusted=trusted) != []


def test_nothing_is_trusted_before_the_first_run(tmp_path: Path) -> None:
    assert subject.authorities(str(tmp_path)) == subject.authorities(str(tmp_path / "pki")) == {}


# --- Ready certificates

PURPOSES = ("server", "client")
HOST_NAMES = {"server": NAMES, "client": ["app1"]}


class Provided:
    """Ready certificates as a site hands them over; ``issue`` makes one anew, with whatever is to be wrong."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.written: dict[str, Any] = {"ca": "ca.crt"}
        self.keys: dict[str, Any] = {}
        self.write("ca.crt", ROOT.pem, 0o644)
        for purpose in PURPOSES:
            self.written[purpose] = {"certificate": f"{purpose}.crt", "key": f"{purpose}.key"}
            self.issue(purpose)

    def write(self, name: str, content: str | bytes, mode: int = 0o600) -> None:
        file = self.directory / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        file.chmod(mode)

    def issue(self, purpose: str, by: Authority = ROOT, chain: str = "", **how: Any) -> None:
        certificate, key = by.issue(how.pop("names", HOST_NAMES[purpose]), how.pop("uses", [purpose]), **how)
        self.write(f"{purpose}.crt", certificate + chain, 0o644)
        self.write(f"{purpose}.key", key)
        self.keys[purpose] = key

    def vault(self, name: str, mode: int) -> None:
        text = (self.directory / name).read_text(encoding="utf-8")
        self.write(name, VaultLib([("default", VaultSecret(b"vault"))]).encrypt(text), mode)

    def findings(self) -> list[str]:
        return subject.provided_findings(self.written, str(self.directory), self.keys, HOST_NAMES)


@pytest.fixture
def ready(tmp_path: Path) -> Provided:
    return Provided(tmp_path)


def test_ready_certificates_that_will_do_have_no_finding(ready: Provided) -> None:
    assert ready.findings() == []
    ready.issue("server", INTERMEDIATE, chain=INTERMEDIATE.pem)
    ready.written["client"]["key"] = str(ready.directory / "client.key")  # a whole path is taken as it is
    assert ready.findings() == []


def test_a_key_in_the_vault_may_be_readable(ready: Provided) -> None:
    ready.vault("server.key", 0o644)
    assert ready.findings() == []


def clear(ready: Provided, *path: str) -> None:
    entry = ready.written
    for step in path[:-1]:
        entry = entry[step]
    del entry[path[-1]]


def written(ready: Provided, **what: Any) -> None:
    ready.written |= what


ISSUED_ANEW = "; have it issued anew by an authority in certificates_provided.ca"
PROVIDED: dict[str, tuple[Callable[[Provided], Any], str]] = {
    "expired": (
        lambda ready: ready.issue("server", days=-2),
        f"server.certificate is 'server.crt': it expired on {on_day(-2)}{ISSUED_ANEW}",
    ),
    "wrong name": (
        lambda ready: ready.issue("server", names=["app1", "192.0.2.20"]),
        "server.certificate is 'server.crt': it is not for IP:2001:db8::30 but for DNS:app1, IP:192.0.2.20; have",
    ),
    "wrong use": (
        lambda ready: ready.issue("client", uses=["server"]),
        f"client.certificate is 'client.crt': it is not for use as a client{ISSUED_ANEW}",
    ),
    "wrong key": (
        lambda ready: ready.keys.update(client=key_pem(new_key())),
        f"client.certificate is 'client.crt': it belongs to another key{ISSUED_ANEW}",
    ),
    "chain that is missing": (
        lambda ready: ready.issue("server", INTERMEDIATE),
        "server.certificate is 'server.crt': its issuer CN=Intermediate does not lead to a trusted authority that is",
    ),
    "chain to another authority": (
        lambda ready: ready.issue("client", OTHER_ROOT, chain=OTHER_ROOT.pem),
        "client.certificate is 'client.crt': its issuer CN=Root does not lead to a trusted authority",
    ),
    "certificate that is none": (
        lambda ready: ready.write("server.crt", GARBAGE),
        f"server.certificate is 'server.crt': it is no certificate in PEM{ISSUED_ANEW}",
    ),
    "certificate in DER": (
        lambda ready: ready.write("server.crt", GOOD),
        "server.certificate is 'server.crt': it is no certificate in PEM; have",
    ),
    "certificate with its key": (
        lambda ready: ready.write("server.crt", (ready.directory / "server.crt").read_text() + ready.keys["server"]),
        "server.certificate is 'server.crt': it has a private key in it; take that out",
    ),
    "authority with its key": (
        lambda ready: ready.write("ca.crt", ROOT.pem + key_pem(ROOT.key)),
        "ca is 'ca.crt': it has a private key in it; take that out",
    ),
    "authority that is none": (
        lambda ready: ready.write("ca.crt", GARBAGE),
        "ca is 'ca.crt': it is no certificate in PEM; write the authority's",
    ),
    "authority that is empty": (
        lambda ready: ready.write("ca.crt", ""),
        "ca is 'ca.crt': it is no certificate in PEM; write the authority's",
    ),
    "key for others": (
        lambda ready: (ready.directory / "client.key").chmod(0o640),
        "client.key is 'client.key': others can read it: encrypt it with `ansible-vault encrypt`, or chmod 600",
    ),
    "key that is none": (
        lambda ready: ready.keys.update(server="canary"),
        "server.key is 'server.key': it is no key in PEM that opens without a passphrase; write it anew with `openssl",
    ),
    "key with a passphrase": (
        lambda ready: ready.keys.update(server=encrypted(new_key()).decode()),
        "server.key is 'server.key': it is no key in PEM that opens without a passphrase",
    ),
    "key that the vault did not open": (
        lambda ready: ready.keys.update(server=None),
        "server.key is 'server.key': it is no key in PEM that opens",
    ),
    "key that nobody read": (
        lambda ready: ready.keys.pop("client"),
        "client.key is 'client.key': it is no key in PEM that opens",
    ),
    "missing certificate": (
        lambda ready: (ready.directory / "server.crt").unlink(),
        "server.certificate is 'server.crt': it cannot be read (No such file or directory); paths start from /",
    ),
    "missing key": (
        lambda ready: (ready.directory / "server.key").unlink(),
        "server.key is 'server.key': it cannot be read (No such file or directory); paths start from /",
    ),
    "missing authority": (
        lambda ready: (ready.directory / "ca.crt").unlink(),
        "ca is 'ca.crt': it cannot be read (No such file or directory); paths start from /",
    ),
    "directory": (lambda ready: written(ready, ca="."), "ca is '.': it cannot be read (Is a directory); paths start"),
    "authority not written": (
        lambda ready: clear(ready, "ca"),
        "ca is missing or no path: write the path of a file on",
    ),
    "key not written": (
        lambda ready: clear(ready, "server", "key"),
        "server.key is missing or no path: write the path",
    ),
    "path that is empty": (lambda ready: written(ready, ca=""), "ca is missing or no path: write the path of a file"),
    "path that is none": (lambda ready: written(ready, ca=["ca.crt"]), "ca is missing or no path: write the path of"),
    "text instead of its path": (
        lambda ready: written(ready, server={"certificate": "server.crt", "key": ready.keys["server"]}),
        "server.key is missing or no path: write the path of a file on the controller",
    ),
}


@pytest.mark.parametrize("case", PROVIDED)
def test_each_mistake_in_ready_certificates_is_the_only_finding(ready: Provided, case: str) -> None:
    make, expected = PROVIDED[case]
    make(ready)
    (finding,) = ready.findings()
    assert finding.startswith(f"certificates_provided.{expected}")
    assert_silent(finding, ready.directory)


@pytest.mark.parametrize("given", [None, "server.crt", ["server.crt"], {}])
def test_a_purpose_that_is_not_written_misses_both_files(ready: Provided, given: Any) -> None:
    ready.written["server"] = given
    told = [finding.split(" is ")[0] for finding in ready.findings()]
    assert told == ["certificates_provided.server.certificate", "certificates_provided.server.key"]


def test_all_mistakes_in_ready_certificates_are_said_at_once(ready: Provided) -> None:
    ready.issue("server", days=-2)
    ready.issue("client", uses=["server"])
    (ready.directory / "client.key").chmod(0o644)
    told = [finding.split(" is ")[0].removeprefix("certificates_provided.") for finding in ready.findings()]
    assert told == ["client.key", "server.certificate", "client.certificate"]


def assert_silent(finding: str, directory: Path) -> None:
    """No finding shows a passphrase or what is in a key."""
    for file in directory.glob("*.key"):
        if file.is_file():
            for line in file.read_bytes().decode(errors="replace").splitlines():
                assert len(line) < 8 or line not in finding
    assert PASSPHRASE not in finding
    assert "canary" not in finding
    assert "-----" not in finding
