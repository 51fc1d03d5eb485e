"""The salt of prompt hashes: drawn once for an installation, kept beside the log, readable by its owner only."""

import os
import secrets
from pathlib import Path

from routeiq.core.errors import ConfigError

SALT_BYTES = 32


def load_or_create_salt(path: str | Path) -> bytes:
    """Return the 32 bytes in a file, written with mode 0600 if there is none; several processes may start at once.

    Losing the file means that equal prompts before and after the loss no longer have equal hashes. Raises ConfigError
    when the file cannot be read or written, or is not a salt.
    """
    file = Path(path)
    try:
        if not file.exists():
            _create(file)
        salt = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"salt of the outcome log {file}: {error.strerror or type(error).__name__}") from error
    if len(salt) != SALT_BYTES:
        raise ConfigError(
            f"salt of the outcome log {file}: {len(salt)} bytes where {SALT_BYTES} were expected; "
            "restore it from a backup, or delete it to have a new one drawn"
        )
    return salt


def _create(file: Path) -> None:
    """Write a salt under another name and link it into place: whoever comes second finds the first one's, complete."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{secrets.token_hex(6)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(secrets.token_bytes(SALT_BYTES))
            out.flush()
            os.fsync(out.fileno())
        os.link(draft, file)
    except FileExistsError:
        return
    finally:
        draft.unlink(missing_ok=True)
