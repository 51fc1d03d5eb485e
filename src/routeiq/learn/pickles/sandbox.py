"""Runs `reader.py` in a process of its own and takes back numbers and names.

Owns the process: separate interpreter without our paths, empty environment, no network where the machine allows a
network namespace, an end after a time, and the check of what comes back, which is read as numbers and never unpickled.
"""

import io
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from routeiq.core.errors import DataError

READER = Path(__file__).with_name("reader.py")
LIMIT_S = 120.0
LARGEST = 512 << 20

REFUSED = 77
"""Exit status of a reader that was made to do something beside reading."""

NO_NETWORK = ("unshare", "--user", "--map-root-user", "--net")


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """What a pickle held: which kind of router (`knn`, `svm`, `linear-svm`, `mlp`, `mf`), its arrays, its models."""

    kind: str
    arrays: Mapping[str, Any]
    models: tuple[str, ...]


def open_pickle(path: Path) -> Opened:
    """Return what a `.pkl` or `.pt` holds; raises DataError for one that is refused, damaged or too large."""
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path} has more than {LARGEST >> 20} MiB; no router of this kind has")
        with path.open("rb") as file:
            done = subprocess.run(  # noqa: S603 - our own reader, by our own interpreter
                [*_outside(), sys.executable, "-I", "-B", str(READER)],
                stdin=file,
                capture_output=True,
                env={},
                cwd="/",
                timeout=LIMIT_S,
                check=False,
            )
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except subprocess.TimeoutExpired:
        raise DataError(f"{path} was given up on after {LIMIT_S:g} s; it is no trained router") from None
    said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
    if done.returncode == REFUSED:
        raise DataError(
            f"{path} tried to do something while it was opened ({said[0] if said else ''}); do not trust it"
        )
    if done.returncode != 0:
        raise DataError(f"{path} ended the process that opened it (status {done.returncode}); it is damaged or hostile")
    return _opened(path, done.stdout)


def _opened(path: Path, answer: bytes) -> Opened:
    try:
        with np.load(io.BytesIO(answer), allow_pickle=False) as archive:
            about = json.loads(str(archive["about"]))
            arrays = {name.removeprefix("a_"): archive[name] for name in archive.files if name != "about"}
    except (ValueError, OSError, KeyError, EOFError) as error:
        raise DataError(f"{path}: what came back from the sandbox cannot be read ({error})") from None
    if "refused" in about:
        raise DataError(
            f"{path} holds {about['refused']}; read are pickled KNeighborsClassifier, SVC, LinearSVC and MLPClassifier "
            "of scikit-learn, and state dicts of LLMRouter's mf and mlp routers"
        )
    return Opened(str(about["kind"]), arrays, tuple(str(name) for name in about["models"]))


@cache
def _outside() -> tuple[str, ...]:
    """Return what takes the network away, nothing where the machine does not allow it."""
    try:
        done = subprocess.run([*NO_NETWORK, "true"], capture_output=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return NO_NETWORK if done.returncode == 0 else ()
