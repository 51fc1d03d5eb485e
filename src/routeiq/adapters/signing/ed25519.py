"""Ed25519 keys (RFC 8032) and what they say about a manifest.

Owns the text forms of keys and signatures. A public key is `ed25519:BASE64` of its 32 bytes; its id is the first
sixteen hexadecimal digits of their SHA-256; a signature is `ed25519:KEYID:BASE64`. Which bytes are signed is
`routing.codec`'s.
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from routeiq.core.artifact import Manifest
from routeiq.core.errors import ArtifactSignatureInvalid, ConfigError
from routeiq.routing.codec import signed_part

SCHEME = "ed25519"
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key; its file is PEM (PKCS 8), readable by its owner only."""

    _private: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> "SigningKey":
        """Return a new key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def read(cls, path: Path, password: str | None = None) -> "SigningKey":
        """Return the key in a file; raises ConfigError."""
        secret = password.encode() if password else None
        try:
            found = load_pem_private_key(path.read_bytes(), secret)
        except OSError as error:
            raise ConfigError(f"{path}: the signing key cannot be read: {error.strerror}") from None
        except TypeError as error:
            has = "needs a password" if secret is None else "is not encrypted, so it takes no password"
            raise ConfigError(f"{path}: the signing key {has}") from error
        except ValueError:
            raise ConfigError(f"{path}: not a PEM private key, or the password is wrong") from None
        if not isinstance(found, Ed25519PrivateKey):
            raise ConfigError(f"{path}: expected an Ed25519 key, found {type(found).__name__}")
        return cls(found)

    def write(self, path: Path, password: str | None = None) -> None:
        """Write a new file; raises ConfigError when there is one already, so that no key is lost."""
        encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        content = self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise ConfigError(f"{path}: there is a file already; name another one, keys are not overwritten") from None
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
        with os.fdopen(handle, "wb") as file:
            file.write(content)

    @property
    def public(self) -> str:
        """The public key as text."""
        return SCHEME + ":" + base64.b64encode(_bytes_of(self._private.public_key())).decode()

    def sign(self, manifest: Manifest) -> str:
        """Return the signature of a sealed manifest, whatever signature it has now."""
        signature = base64.b64encode(self._private.sign(signed_part(manifest))).decode()
        return f"{SCHEME}:{key_id(self._private.public_key())}:{signature}"


class TrustedKeys:
    """The public keys whose word counts; several, so that one can take the place of another over time."""

    def __init__(self, keys: Iterable[str]) -> None:
        found = [read_public_key(text) for text in keys]
        self._keys: Mapping[str, Ed25519PublicKey] = {key_id(key): key for key in found}

    def __len__(self) -> int:
        return len(self._keys)

    def verify(self, manifest: Manifest, name: str) -> str:
        """Return the id of the trusted key that signed a manifest; raises ArtifactSignatureInvalid for `name`."""
        trusted = ", ".join(self._keys) or "none"
        if manifest.signature is None:
            raise ArtifactSignatureInvalid(
                f"artifact {name} is not signed, and only signed ones are allowed here; sign it with "
                f"`routeiq admin sign {name} --key KEY.pem`, or unset routeiq_settings.signatures.required"
            )
        scheme, _, rest = manifest.signature.partition(":")
        number, _, signature = rest.partition(":")
        if scheme != SCHEME or number not in self._keys:
            raise ArtifactSignatureInvalid(
                f"artifact {name} is signed by key {number or scheme!r:.40}, which is not trusted (trusted: "
                f"{trusted}); add its public key to routeiq_settings.signatures.trusted_keys if you know whose it is"
            )
        try:
            self._keys[number].verify(base64.b64decode(signature, validate=True), signed_part(manifest))
        except (InvalidSignature, binascii.Error, ValueError):
            raise ArtifactSignatureInvalid(
                f"artifact {name}: the signature of key {number} does not fit the manifest: it was changed after it "
                "was signed; get it again from where it was trained"
            ) from None
        return number


def read_public_key(text: str) -> Ed25519PublicKey:
    """Return the key of a text `ed25519:BASE64`; raises ConfigError."""
    scheme, _, encoded = text.strip().partition(":")
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if scheme != SCHEME or len(content) != _KEY_BYTES:
        raise ConfigError(
            f"{text[:24]!r}... is not a public key; expected `ed25519:` and 44 characters of base64, as "
            "`routeiq admin keygen` prints it"
        )
    return Ed25519PublicKey.from_public_bytes(content)


def key_id(key: Ed25519PublicKey) -> str:
    """Return the name of a key in signatures and messages."""
    return hashlib.sha256(_bytes_of(key)).hexdigest()[:16]


def _bytes_of(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)
