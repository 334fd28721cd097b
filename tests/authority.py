"""A certificate authority for tests: real certificates, with whatever is to be wrong with them."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)
USES = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def der_of(pem: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem)


def pem_of(der: bytes) -> str:
    return ssl.DER_cert_to_PEM_cert(der)


def broken(pem: str, old: bytes, new: bytes) -> str:
    """A certificate with other bytes in it; its signature does not hold."""
    der = der_of(pem)
    assert old in der
    return pem_of(der.replace(old, new, 1))


def general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@dataclass
class Authority:
    """Signs; ``issuer`` is who signed it, nobody for a root. Without ``ca`` it signs without being allowed to."""

    name: str = "Authority of a test"
    issuer: Authority | None = None
    days: float = 100
    key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    since: float = -1
    ca: bool = True

    def __post_init__(self) -> None:
        signer = self.issuer or self
        constraints = x509.BasicConstraints(ca=self.ca, path_length=None)
        # Go and openssl find the issuer by its key. No key usage: that is as little as the daemons are content with.
        subject = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        request = self._builder(self.name, signer, self.key, self.days, self.since)
        request = request.add_extension(constraints, critical=True).add_extension(subject, critical=False)
        self.certificate = request.sign(signer.key, hashes.SHA256())

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def issue(
        self,
        names: Sequence[str],
        uses: Sequence[str] = ("server", "client"),
        *,
        days: float = 10,
        since: float = -1,
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> tuple[str, str]:
        """Certificate and key in PEM; ``since`` and ``days`` are counted from now."""
        key = key or new_key()
        request = self._builder(names[0] if names else "nobody", self, key, days, since)
        if names:
            alternative = x509.SubjectAlternativeName([general_name(name) for name in names])
            request = request.add_extension(alternative, critical=False)
        if uses:
            request = request.add_extension(x509.ExtendedKeyUsage([USES[use] for use in uses]), critical=False)
        return request.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM).decode(), key_pem(key)

    @staticmethod
    def _builder(
        subject: str, issuer: Authority, key: ec.EllipticCurvePrivateKey, days: float, since: float
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer.name)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + min(since, days - 1) * DAY)
            .not_valid_after(now + days * DAY)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
        )
