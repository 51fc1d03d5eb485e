"""Artifacts whose arrays stay in their file: mapped into memory, so that all processes of a host share its pages.

Owns where in a `.npz` an array lies, and the copy of those that cannot be mapped (compressed, or at an odd place). Only
for files that nobody writes to any more: who shortened one would end every process that has it mapped. The form of both
files is `routing.codec`'s.
"""

import io
import mmap
import struct
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.core.errors import ArtifactDigestMismatch, ArtifactError
from routeiq.routing import codec

_LOCAL_HEADER = 30
_LENGTHS_AT = 26
_ARRAY_HEADER = 16_384


def load_mapped(arrays: Path, manifest: Path, name: str) -> Artifact:
    """Return a verified artifact; `name` is what errors speak of.

    Raises ArtifactError, or the kind that `routing.codec.decode` says.
    """
    try:
        described = codec.decode_manifest(manifest.read_bytes(), name)
        with arrays.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"artifact {name}: what was fetched of it cannot be read: {error}") from None
    found = sha256(mapped).hexdigest()
    if found != described.sha256:
        raise ArtifactDigestMismatch(
            f"the arrays of artifact {name}, kept as {arrays}, have sha256 {found[:12]}..., the manifest says "
            f"{described.sha256[:12]}...: they were changed on this host"
        )
    try:
        with zipfile.ZipFile(arrays) as archive:
            found_arrays = {
                info.filename.removesuffix(".npy"): _array(archive, info, mapped) for info in archive.infolist()
            }
    except (ValueError, OSError, EOFError, KeyError, struct.error, zipfile.BadZipFile) as error:
        raise ArtifactError(
            f"the arrays of artifact {name} cannot be read ({error}); expected a .npz file without pickled objects; "
            "train anew"
        ) from error
    return Artifact(described, found_arrays)


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, mapped: mmap.mmap) -> Any:
    """Return one array, read only, over the mapped file where it lies there as it is."""
    if info.compress_type != zipfile.ZIP_STORED:
        with archive.open(info) as member:
            return np.lib.format.read_array(member, allow_pickle=False)
    name, extra = struct.unpack_from("<HH", mapped, info.header_offset + _LENGTHS_AT)
    start = info.header_offset + _LOCAL_HEADER + name + extra
    header = io.BytesIO(mapped[start : start + min(info.file_size, _ARRAY_HEADER)])
    version = np.lib.format.read_magic(header)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, in_columns, kind = read(header)
    if kind.hasobject:
        raise ValueError(f"array {info.filename} holds pickled objects")
    count = int(np.prod(shape, dtype=np.int64))
    flat: Any = np.frombuffer(mapped, dtype=kind, count=count, offset=start + header.tell())
    array = flat.reshape(shape, order="F" if in_columns else "C")
    return array if array.flags.aligned else array.copy()
