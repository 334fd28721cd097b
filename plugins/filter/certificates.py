"""Certificates of a site: what is wrong with one, and what the site's authority says it is.

A certificate is PEM text. ``purpose`` is ``server`` or ``client``. Reading is done here, on the controller; making is
community.crypto's. Private keys are looked at only where the site hands them over as files.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.parsing.vault import is_encrypted
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

USES = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}
AUTHORITIES = ("ca", "next", "previous")
UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What cryptography raises at garbage."""
SHORTEST_PASSPHRASE = 12
KEY_MARK = b"PRIVATE KEY"
"""What the first line of every key in PEM has in it."""
OTHERS = 0o077
"""Mode bits that let others than the owner at a file."""
ANEW = "move ca.crt and ca.key out of there, and the next run makes a new authority"
ISSUED = "have it issued anew by an authority in certificates_provided.ca, and write what is between them after it"
OPENED = "write it anew with `openssl pkey`, and encrypt it with `ansible-vault encrypt` instead"
PUT_BACK = f"put it back from a copy, or {ANEW}"


# --- Names


def alternative_names(names: Iterable[str]) -> list[str]:
    """Names and addresses as subject alternative names, each once: ``DNS:app1``, ``IP:192.0.2.20``."""
    plain = (name.removeprefix("DNS:").removeprefix("IP:") for name in names)
    return list(dict.fromkeys(f"IP:{address}" if (address := _address(name)) else f"DNS:{name}" for name in plain))


def _address(name: str) -> str | None:
    with suppress(ValueError):
        return str(ipaddress.ip_address(name.strip("[]")))
    return None


def _names(certificate: x509.Certificate) -> list[str]:
    with suppress(x509.ExtensionNotFound):
        carried = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        addresses = carried.get_values_for_type(x509.IPAddress)
        return [f"DNS:{name}" for name in carried.get_values_for_type(x509.DNSName)] + [f"IP:{ip}" for ip in addresses]
    return []


# --- What a certificate is


def certificate_facts(pem: str, now: datetime | None = None) -> dict[str, Any]:
    """Subject, issuer, names, uses and whole days left of the first certificate in a text.

    Raises:
        AnsibleFilterError: there is none.
    """
    certificate = read_certificates(pem)[0]
    return {
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "names": _names(certificate),
        "uses": [use for use in USES if _serves(certificate, use)],
        "until": certificate.not_valid_after_utc.date().isoformat(),
        "days_left": (certificate.not_valid_after_utc - (now or _now())).days,
    }


def certificate_faults(
    pem: str,
    purpose: str,
    names: Iterable[str],
    authorities: str,
    key: str = "",
    days: float = 0,
    now: datetime | None = None,
) -> list[str]:
    """Every reason why a certificate, the first in ``pem``, will not do; none when it will.

    Args:
        names: what it must be for, as alternative names or plain.
        authorities: PEM of those that are trusted; what follows the first certificate in ``pem`` may lead there.
        key: SHA-256 of its public key (as community.crypto writes it), or empty when it is not known.
        days: how long it must still be good.

    Raises:
        AnsibleFilterError: ``purpose`` is none.
    """
    if purpose not in USES:
        raise AnsibleFilterError(f"purpose of the filter certificate_faults is {purpose!r}: write server or client")
    try:
        certificate, *chain = read_certificates(pem)
    except AnsibleFilterError as error:
        return [str(error)]
    try:
        trusted = read_certificates(authorities)
    except AnsibleFilterError:
        return ["the authorities to trust are no certificates in PEM"]
    return list(_faults(certificate, purpose, names, [*chain, *trusted], trusted, key, days, now or _now()))


def _faults(
    certificate: x509.Certificate,
    purpose: str,
    names: Iterable[str],
    issuers: Sequence[x509.Certificate],
    trusted: Sequence[x509.Certificate],
    key: str,
    days: float,
    now: datetime,
) -> Iterator[str]:
    until = certificate.not_valid_after_utc
    if until <= now:
        yield f"it expired on {until:%Y-%m-%d}"
    elif until <= now + timedelta(days=days):
        yield f"it expires on {until:%Y-%m-%d}"
    if certificate.not_valid_before_utc > now:
        yield f"it is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}"
    if not _serves(certificate, purpose):
        yield f"it is not for use as a {purpose}"
    carried = _names(certificate)
    if missing := [name for name in alternative_names(names) if name not in carried]:
        yield f"it is not for {', '.join(missing)} but for {', '.join(carried) or 'no name'}"
    if key and key != fingerprint(certificate.public_key()):
        yield "it belongs to another key"
    if not _leads_to(certificate, issuers, trusted, now):
        yield f"its issuer {certificate.issuer.rfc4514_string()} does not lead to a trusted authority that is valid now"


def _serves(certificate: x509.Certificate, purpose: str) -> bool:
    with suppress(x509.ExtensionNotFound):
        return USES[purpose] in certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    return True  # one that says nothing of its use is for any


def _leads_to(
    certificate: x509.Certificate,
    issuers: Sequence[x509.Certificate],
    trusted: Sequence[x509.Certificate],
    now: datetime,
) -> bool:
    """Whether a chain of signatures by authorities that are valid now ends at a trusted one."""
    for issuer in issuers:
        valid = issuer.not_valid_before_utc <= now < issuer.not_valid_after_utc
        if valid and _is_authority(issuer) and _signed(certificate, issuer):
            rest = [other for other in issuers if other != issuer]
            if issuer in trusted or _leads_to(issuer, rest, trusted, now):
                return True
    return False


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _is_authority(certificate: x509.Certificate) -> bool:
    with suppress(x509.ExtensionNotFound):
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    return False


def fingerprint(key: PublicKeyTypes) -> str:
    """SHA-256 of a public key, as community.crypto writes it."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest().hex(":")


def read_certificates(pem: str) -> list[x509.Certificate]:
    """The certificates in a text, at least one, each read to its end."""
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
        for certificate in found:  # otherwise what is broken inside shows only when it is asked for
            _ = certificate.subject, certificate.issuer, certificate.extensions, certificate.public_key()
    except UNREADABLE:
        raise AnsibleFilterError("it is no certificate in PEM") from None
    return found


def is_certificate(pem: str) -> bool:
    with suppress(AnsibleFilterError):
        return bool(read_certificates(pem))
    return False


def _now() -> datetime:
    return datetime.now(UTC)


# --- The site's authority and ready certificates: files beside the inventory


def authorities(directory: str) -> dict[str, str]:
    """The certificates of the site's authorities by name: ``ca``, and during a rotation ``next`` or ``previous``.

    ``ca`` issues; all are trusted, so a file of any other name is none. Empty where the site has none yet.
    """
    files = {name: Path(directory) / f"{name}.crt" for name in AUTHORITIES}
    return {name: f"{_text(file).rstrip()}\n" for name, file in files.items() if file.exists()}


def _text(file: Path) -> str:
    """What a file says; what is no text is garbage in it, and shows as that."""
    return file.read_text(encoding="utf-8", errors="replace")


def authority_findings(directory: str, passphrase: str, now: datetime | None = None) -> list[str]:
    """Every mistake in the site's authority, each with its variable and remedy; none where it is yet to be made."""
    return list(_authority_findings(Path(directory), passphrase, now or _now()))


def _authority_findings(directory: Path, passphrase: str, now: datetime) -> Iterator[str]:
    if not isinstance(passphrase, str) or len(passphrase) < SHORTEST_PASSPHRASE:
        yield (
            f"certificates_ca_passphrase is missing or shorter than {SHORTEST_PASSPHRASE} characters: set "
            "vault_certificates_ca_passphrase in group_vars/all/vault.yml, which `ansible-vault create` makes"
        )
        return
    where = f"certificates_ca_directory is '{directory}': ca"
    try:
        authority = read_certificates(_text(directory / "ca.crt"))[0]
    except FileNotFoundError:
        return
    except OSError as error:
        yield f"{where}.crt cannot be read ({error.strerror}): give it to who runs this"
        return
    except AnsibleFilterError:
        yield f"{where}.crt is no certificate in PEM: {PUT_BACK}"
        return
    if authority.not_valid_after_utc <= now:
        yield f"{where}.crt expired on {authority.not_valid_after_utc:%Y-%m-%d}: {ANEW}"
    if not _is_authority(authority):
        yield f"{where}.crt is no authority's certificate: {PUT_BACK}"
    for fault in _authority_key_faults(directory / "ca.key", passphrase, authority):
        yield f"{where}.key {fault}"


def _authority_key_faults(file: Path, passphrase: str, authority: x509.Certificate) -> Iterator[str]:
    try:
        text = file.read_bytes()
    except OSError as error:
        yield f"cannot be read ({error.strerror}), and without it nothing can be signed: {PUT_BACK}"
        return
    if KEY_MARK not in text:
        yield f"is no private key in PEM: {PUT_BACK}"
    elif b"ENCRYPTED" not in text:
        yield f"is not encrypted by certificates_ca_passphrase, and whoever read it can sign: {ANEW}"
    else:
        try:
            public = load_pem_private_key(text, passphrase.encode()).public_key()
        except (ValueError, UnsupportedAlgorithm):
            yield "is not opened by certificates_ca_passphrase: write the one that it was made with"
            return
        if public != authority.public_key():
            yield "is not the key of ca.crt: after a rotation that was cut short run playbooks/rotate_ca.yml again"


def provided_findings(
    provided: Mapping[str, Any],
    directory: str,
    keys: Mapping[str, str],
    names: Mapping[str, Sequence[str]],
    now: datetime | None = None,
) -> list[str]:
    """Every mistake in the ready certificates of a host, each with its variable, value and remedy.

    Args:
        provided: ``ca`` and, for ``server`` and ``client`` each, ``certificate`` and ``key``: files on the controller.
        directory: what relative paths start from.
        keys: the keys' texts, decrypted, by purpose.
        names: what the certificates must be for, by purpose.
    """
    return list(_provided_findings(provided, Path(directory), keys, names, now or _now()))


def _provided_findings(
    provided: Mapping[str, Any],
    directory: Path,
    keys: Mapping[str, str],
    names: Mapping[str, Sequence[str]],
    now: datetime,
) -> Iterator[str]:
    paths = _provided_paths(provided)
    files: dict[str, bytes] = {}
    for name, path in paths.items():
        yield from _file_findings(name, path, directory, files)
    texts = {name: content.decode(errors="replace") for name, content in files.items()}

    trusted = texts.get("ca")
    if trusted is not None and not is_certificate(trusted):
        yield _provided("ca", paths["ca"], "it is no certificate in PEM; write the authority's that the others lead to")
        trusted = None
    for purpose in USES:
        certificate, key, public = f"{purpose}.certificate", f"{purpose}.key", ""
        if key in texts:
            try:
                public = fingerprint(load_pem_private_key(keys[purpose].encode(), None).public_key())
            except (KeyError, ValueError, TypeError, AttributeError, UnsupportedAlgorithm):
                yield _provided(key, paths[key], f"it is no key in PEM that opens without a passphrase; {OPENED}")
        if certificate in texts and trusted is not None:
            for fault in certificate_faults(texts[certificate], purpose, names[purpose], trusted, public, now=now):
                yield _provided(certificate, paths[certificate], f"{fault}; {ISSUED}")


def _provided_paths(provided: Mapping[str, Any]) -> dict[str, Any]:
    """What is written for each file, by its name in ``certificates_provided``."""
    paths = {"ca": provided.get("ca")}
    for purpose in USES:
        given = provided.get(purpose)
        for part in ("certificate", "key"):
            paths[f"{purpose}.{part}"] = given.get(part) if isinstance(given, Mapping) else None
    return paths


def _file_findings(name: str, path: Any, directory: Path, files: dict[str, bytes]) -> Iterator[str]:
    """Mistakes in one file; what it holds is added to ``files``."""
    if not isinstance(path, str) or not path or "-----" in path:  # the last is a text in PEM, and may be a key
        yield f"certificates_provided.{name} is missing or no path: write the path of a file on the controller"
        return
    try:
        files[name] = (directory / path).read_bytes()
    except OSError as error:
        yield _provided(name, path, f"it cannot be read ({error.strerror}); paths start from {directory}")
        return
    if name.endswith(".key"):
        if not is_encrypted(files[name]) and (directory / path).stat().st_mode & OTHERS:
            remedy = "encrypt it with `ansible-vault encrypt`, or chmod 600; if others did read it, have both renewed"
            yield _provided(name, path, f"others can read it: {remedy}")
    elif KEY_MARK in files[name]:
        remedy = "take that out, and write its path at key; here everybody on the hosts could read it"
        yield _provided(name, path, f"it has a private key in it; {remedy}")


def _provided(name: str, path: object, fault: str) -> str:
    return f"certificates_provided.{name} is '{path}': {fault}"


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            function.__name__: function
            for function in (
                alternative_names,
                authorities,
                authority_findings,
                certificate_facts,
                certificate_faults,
                provided_findings,
            )
        }
