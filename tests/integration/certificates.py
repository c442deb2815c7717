"""An authority that signs certificates for a test, as OpenSSL writes them."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """It signs; `certificate` is what others trust it by."""

    folder: Path
    name: str

    @property
    def certificate(self) -> Path:
        return self.folder / f"{self.name}.pem"

    @property
    def _key(self) -> Path:
        return self.folder / f"{self.name}.key"

    def found(self) -> "Authority":
        self.folder.mkdir(parents=True, exist_ok=True)
        _openssl("req", "-x509", *_CURVE, "-subj", f"/CN={self.name}", "-keyout", self._key, "-out", self.certificate)
        return self

    def sign(self, name: str, host: str = "IP:127.0.0.1") -> Pair:
        """A certificate for this host, signed."""
        pair = Pair(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        request = self.folder / f"{name}.csr"
        words = ("-subj", f"/CN={name}", "-addext", f"subjectAltName={host}")
        _openssl("req", *_CURVE, *words, "-keyout", pair.key, "-out", request)
        signed = ("-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial", "-copy_extensions", "copy")
        _openssl("x509", "-req", "-in", request, *signed, "-days", "2", "-out", pair.certificate)
        return pair


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)
