"""Install a lock file and this project into an environment, with every hash checked.

uv does it in seconds and is itself installed by pip from a hashed requirement. It does not read pip's configuration,
so the index, certificate and proxy settings that pip would use are handed to it. Where uv has no wheel for the
platform, or cannot reach what pip can, pip installs the same lock.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
QUIET = [] if sys.stderr.isatty() else ["--quiet"]
PIP = [str(BIN / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]

UV_INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL")
# pip's option, uv's variable, and what separates several values for uv.
TRANSLATED = (
    ("find-links", "UV_FIND_LINKS", ","),
    ("trusted-host", "UV_INSECURE_HOST", " "),
    ("no-index", "UV_NO_INDEX", " "),
    ("timeout", "UV_HTTP_TIMEOUT", " "),
    ("cert", "SSL_CERT_FILE", " "),
    ("client-cert", "SSL_CLIENT_CERT", " "),
    ("proxy", "ALL_PROXY", " "),
)


def pip_settings(listing: str) -> dict[str, str]:
    """Read `pip config list`. For an install, its own section beats `global`, and a variable beats both."""
    rank = {"global": 0, "install": 1, ":env:": 2}
    found: dict[str, tuple[int, str]] = {}
    for line in listing.splitlines():
        key, separator, value = line.partition("=")
        section, _, option = key.strip().rpartition(".")
        if not separator or section not in rank:
            continue
        if option not in found or rank[section] >= found[option][0]:
            found[option] = (rank[section], str(ast.literal_eval(value.strip())))
    return {option: value for option, (_, value) in found.items()}


def uv_indexes(settings: Mapping[str, str], public_index: str) -> dict[str, str]:
    """uv's index variables for pip's: all indexes count, and the main one first.

    uv takes a version's files from the first index that has it, and an extra index may carry only some of them. Mixing
    indexes is safe because no file without a known hash is accepted.
    """
    extra = settings.get("extra-index-url", "").split()
    if not extra:
        return {"UV_DEFAULT_INDEX": settings["index-url"]} if settings.get("index-url") else {}
    *before, last = [settings.get("index-url", public_index), *extra]
    # uv asks its "default" index last.
    return {"UV_INDEX": " ".join(before), "UV_DEFAULT_INDEX": last, "UV_INDEX_STRATEGY": "unsafe-best-match"}


def uv_environment(settings: Mapping[str, str], environment: Mapping[str, str], public_index: str) -> dict[str, str]:
    """Add pip's settings to the environment for uv, where the person has not set uv's own."""
    result = dict(environment)
    for option, variable, separator in TRANSLATED:
        if settings.get(option):
            result.setdefault(variable, separator.join(settings[option].split()))
    if not any(environment.get(variable) for variable in UV_INDEX_VARIABLES):
        result.update(uv_indexes(settings, public_index))
    return result


def pip_public_index() -> str:
    """Where pip looks when nothing is configured; it has no public name for it."""
    from pip._internal.models.index import PyPI

    return str(PyPI.simple_url)


def find_uv() -> Path | None:
    """uv in the environment, installed from its hashed requirement if need be; None where it has no wheel."""
    uv = BIN / "uv"
    lock = ROOT / "requirements" / "bootstrap.lock"
    pinned = next(line for line in lock.read_text().splitlines() if line.startswith("uv==")).split()[0]
    version = pinned.removeprefix("uv==")
    if uv.exists() and version in subprocess.run([uv, "--version"], capture_output=True, text=True).stdout.split():
        return uv
    print(f"==> installing {pinned}", flush=True)
    command = [*PIP, "install", "--quiet", "--require-hashes", "--only-binary", ":all:", "-r", str(lock)]
    return uv if subprocess.run(command).returncode == 0 else None


def install_with_uv(uv: Path, environment: Path, lock: Path) -> bool:
    """Make the environment hold exactly the lock and this project; False when uv could not."""
    listing = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, check=True).stdout
    variables = uv_environment(pip_settings(listing), os.environ, pip_public_index())
    target = ["--python", str(environment / "bin" / "python"), *QUIET]
    project = ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
    for command in (["pip", "sync", "--require-hashes", *target, str(lock)], ["pip", "install", *target, *project]):
        if subprocess.run([uv, *command], env=variables).returncode != 0:
            return False
    return True


def install_with_pip(environment: Path, lock: Path) -> None:
    """The same by pip, which is slower and leaves what the lock no longer names."""
    pip = [*PIP, "--python", str(environment / "bin" / "python"), "install", *QUIET, "--no-deps"]
    subprocess.run([*pip, "--require-hashes", "-r", str(lock)], check=True)
    subprocess.run([*pip, "--no-build-isolation", "--editable", str(ROOT)], check=True)


def main() -> int:
    """Entry point; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--environment", type=Path, required=True)
    parser.add_argument("--lock", type=Path, help="without it, only uv is installed")
    arguments = parser.parse_args()
    uv = find_uv()
    if arguments.lock is None:
        return 0 if uv else 1
    started = time.monotonic()
    environment, lock = arguments.environment.resolve(), arguments.lock.resolve()
    if uv is None or not install_with_uv(uv, environment, lock):
        print("==> uv could not install; pip does it, which takes a few minutes", flush=True)
        install_with_pip(environment, lock)
    count = sum("==" in line for line in lock.read_text().splitlines())
    print(f"==> {count} packages ready after {time.monotonic() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
