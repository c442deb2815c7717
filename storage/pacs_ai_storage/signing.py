"""The key of the audit log, and what it signs: places in the chain, to be kept elsewhere (Ed25519, RFC 8032)."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from .chain import Link, moment
from .durable import write_once

KEY_NAME = "audit-key.pem"


class UnusableKey(Exception):
    """A file that holds no Ed25519 key or cannot be made, or a signed head that cannot be read as one."""


class Purpose(StrEnum):
    """What a signature says of its place: so far the log went, or up to here events were removed."""

    HEAD = "pacs-ai audit head 1"
    ANCHOR = "pacs-ai audit anchor 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedLink:
    """A place in the chain at a time, in UTC with microseconds; key and signature in hexadecimal digits."""

    purpose: Purpose
    sequence: int
    sha256: str
    at: str
    public_key: str
    signature: str

    def is_signed_by(self, public_key: str) -> bool:
        """Whether the holder of this key has signed purpose, place and time."""
        try:
            signature = bytes.fromhex(self.signature)
            _public(public_key).verify(signature, _signed_bytes(self.purpose, self.sequence, self.sha256, self.at))
        except (InvalidSignature, ValueError):
            return False
        return True


class SigningKey:
    """An Ed25519 key in the data folder; made, for its owner's eyes alone (mode 0600), when there is none."""

    def __init__(self, folder: Path) -> None:
        path = folder / KEY_NAME
        if not path.is_file():
            _make_or_say(path)
        self._key = _private(path)
        self.public_key = _hex(self._key.public_key())

    def sign(self, purpose: Purpose, link: Link, now: datetime) -> SignedLink:
        """The place, signed."""
        at = moment(now)
        return SignedLink(
            purpose=purpose,
            sequence=link.sequence,
            sha256=link.sha256,
            at=at,
            public_key=self.public_key,
            signature=self._key.sign(_signed_bytes(purpose, link.sequence, link.sha256, at)).hex(),
        )

    def public_pem(self) -> str:
        """The public key as others read it (SubjectPublicKeyInfo, RFC 8410)."""
        encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key.public_key().public_bytes(encoding, form).decode()


def known_public_key(folder: Path) -> str | None:
    """The public key that belongs to the key in the folder; None when there is none, and none is made."""
    path = folder / KEY_NAME
    return _hex(_private(path).public_key()) if path.is_file() else None


def read_public_key(path: Path) -> str:
    """The key of a PEM file that `public_pem` has written; raises UnusableKey."""
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        message = f"{path}: no public key: {error}"
        raise UnusableKey(message) from error
    if not isinstance(key, Ed25519PublicKey):
        message = f"{path}: not an Ed25519 key"
        raise UnusableKey(message)
    return _hex(key)


def write_head(head: SignedLink, path: Path) -> None:
    """The signed head is in the file, as JSON."""
    path.write_text(json.dumps(asdict(head), indent=2) + "\n", encoding="utf-8")


def read_head(path: Path) -> SignedLink:
    """The head of a file; its signature is not judged yet. Raises UnusableKey when it is no head."""
    try:
        head = SignedLink(**json.loads(path.read_text(encoding="utf-8")))
        is_head = head.purpose == Purpose.HEAD and isinstance(head.sequence, int)
    except (OSError, ValueError, TypeError) as error:
        message = f"{path}: no signed head: {error}"
        raise UnusableKey(message) from error
    if not is_head:
        message = f"{path}: no signed head"
        raise UnusableKey(message)
    return head


def _signed_bytes(purpose: str, sequence: int, sha256: str, at: str) -> bytes:
    return json.dumps([str(purpose), sequence, sha256, at], separators=(",", ":")).encode()


def _public(public_key: str) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))


def _hex(key: Ed25519PublicKey) -> str:
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw).hex()


def _private(path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        message = f"{path}: no key that can be used"
        raise UnusableKey(message) from error
    if not isinstance(key, Ed25519PrivateKey):
        message = f"{path}: not an Ed25519 key"
        raise UnusableKey(message)
    return key


def _make_or_say(path: Path) -> None:
    try:
        _make(path)
    except OSError as error:
        message = f"{path}: the key cannot be written ({error.strerror})"
        raise UnusableKey(message) from error


def _make(path: Path) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_once(path, pem)  # where another process was first, its key is the key
