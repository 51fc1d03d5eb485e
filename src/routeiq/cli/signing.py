"""`routeiq admin keygen`, `sign` and `verify`: who vouches for an artifact."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.cli.output import stderr, stdout
from routeiq.core.errors import ConfigError

Password = Annotated[
    Path | None,
    typer.Option("--password-file", help="File with the password of the private key. Default: the key has none."),
]


def add_to(admin: typer.Typer) -> None:
    """Put the commands into the group `routeiq admin`."""
    admin.command(epilog="Example: routeiq admin keygen --output signing.pem")(keygen)
    admin.command(epilog="Example: routeiq admin sign knn.npz --key signing.pem")(sign)
    admin.command(epilog="Example: routeiq admin verify knn.npz --trusted signing.pub")(verify)


def keygen(
    output: Annotated[Path, typer.Option(help="File for the new private key; the public one goes beside it, `.pub`.")],
    password_file: Password = None,
) -> None:
    """Make a key pair (Ed25519) for signing artifacts, and print the public key for `trusted_keys`."""
    key = _signing().SigningKey.generate()
    key.write(output, _password(password_file))
    output.with_suffix(".pub").write_text(key.public + "\n", encoding="utf-8")
    stderr().print(f"private key: {output} (keep it where artifacts are trained, and nowhere else)")
    stderr().print(f"public key:  {output.with_suffix('.pub')}; put it under routeiq_settings.signatures.trusted_keys:")
    print(key.public)


def sign(
    artifact: Annotated[Path, typer.Argument(help="The artifact, `NAME.npz` with `NAME.json` beside it.")],
    key: Annotated[Path, typer.Option(help="Private key, as `routeiq admin keygen` made it.")],
    password_file: Password = None,
) -> None:
    """Sign an artifact's manifest, and with it its arrays, of which the manifest has the digest."""
    signing = _signing().SigningKey.read(key, _password(password_file))
    store = FileArtifactStore()
    found = store.load(str(artifact))
    signature = signing.sign(found.manifest)
    store.save(str(artifact), replace(found, manifest=replace(found.manifest, signature=signature)))
    stdout().print(f"signed {artifact} ({found.manifest.version}) with key {signature.split(':')[1]}")


def verify(
    artifact: Annotated[Path, typer.Argument(help="The artifact, `NAME.npz` with `NAME.json` beside it.")],
    trusted: Annotated[list[Path], typer.Option(help="File with a trusted public key; may be given several times.")],
) -> None:
    """Check digest and signature of an artifact; exit status 2 when it must not be served."""
    keys = _signing().TrustedKeys(_public(path) for path in trusted)
    found = FileArtifactStore().load(str(artifact))
    stdout().print(
        f"{artifact} ({found.manifest.version}) is signed by key {keys.verify(found.manifest, str(artifact))}"
    )


def _signing() -> ModuleType:
    """Return the adapter; raises ConfigError where its library is not installed."""
    try:
        return import_module("routeiq.adapters.signing")
    except ModuleNotFoundError as error:
        raise ConfigError(f"signatures need {error.name}; run: pip install 'routeiq-router[proxy]'") from None


def _public(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"{path}: not a public key; it is the file that ends in .pub") from None


def _password(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").rstrip("\n")
    except OSError as error:
        raise ConfigError(f"{path}: the password cannot be read: {error.strerror}") from None
