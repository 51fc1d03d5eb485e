"""Opens one pickle in a process of its own that can do nothing else, and gives back numbers and names only.

Run as a script by `learn.pickles.sandbox`, never imported by the package: it needs the standard library and numpy. An
estimator of scikit-learn and a tensor of PyTorch are read as what they hold; neither needs to be installed, and none of
their code runs. The pickle comes in over standard input, an `.npz` without objects goes out over standard output. Four
walls, each of which is enough for what is known to be done with pickles:

1. an unpickler that finds only the classes listed here, none of which runs what it is given;
2. an audit hook that ends the process when anything is opened, connected, started or imported from then on;
3. limits of the operating system: no new file descriptor, no file written, no process, bounded memory and time;
4. what the sandbox adds from outside: an empty environment and, where allowed, no network.
"""

import contextlib
import importlib
import io
import json
import os
import pickle
import resource
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

MEMORY = 2 << 30
SECONDS = 60
LARGEST = 512 << 20

_NUMPY = {
    ("numpy", "ndarray"), ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"), ("numpy._core.numeric", "_frombuffer"),
}  # fmt: skip
_ESTIMATORS = {
    ("sklearn.neighbors._classification", "KNeighborsClassifier"), ("sklearn.svm._classes", "SVC"),
    ("sklearn.svm._classes", "LinearSVC"), ("sklearn.preprocessing._label", "LabelBinarizer"),
    ("sklearn.neural_network._multilayer_perceptron", "MLPClassifier"),
}  # fmt: skip
_INERT = {
    ("sklearn.neighbors._kd_tree", "KDTree"), ("sklearn.neighbors._kd_tree", "newObj"),
    ("sklearn.neighbors._kd_tree", "KDTree64"), ("sklearn.neighbors._ball_tree", "newObj"),
    ("sklearn.neighbors._ball_tree", "BallTree"), ("sklearn.neighbors._ball_tree", "BallTree64"),
    ("sklearn.metrics._dist_metrics", "newObj"), ("sklearn.metrics._dist_metrics", "EuclideanDistance"),
    ("sklearn.metrics._dist_metrics", "EuclideanDistance64"), ("sklearn.metrics._dist_metrics", "DistanceMetric"),
    ("sklearn.neural_network._stochastic_optimizers", "AdamOptimizer"),
    ("sklearn.neural_network._stochastic_optimizers", "SGDOptimizer"),
    ("numpy.random._pickle", "__randomstate_ctor"), ("numpy.random._pickle", "__bit_generator_ctor"),
    ("numpy.random._mt19937", "MT19937"), ("numpy.random.mtrand", "RandomState"),
    ("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"), ("numpy.random.bit_generator", "SeedSequence"),
}  # fmt: skip
_STORAGES = {
    "FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8", "IntStorage": "<i4",
}  # fmt: skip


Described = tuple[str, dict[str, Any], list[str]]


class Refused(Exception):
    """The pickle holds something that is not read."""


class Husk:
    """Stands for an object that is of no interest: takes whatever it is given, and does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> "Husk":
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        """Keep nothing."""

    def __setstate__(self, state: Any) -> None:
        """Keep nothing."""


class Estimator:
    """A scikit-learn estimator as its attributes: its own code is not run."""

    kind = ""

    def __setstate__(self, state: Any) -> None:
        """Keep the attributes."""
        if not isinstance(state, dict):
            raise Refused("an estimator without attributes")
        self.__dict__.update(state)


def _rebuilt(storage: Any, offset: int, size: Any, stride: Any, *_: Any) -> Any:
    """Return a tensor as an array; what PyTorch's function of that place does."""
    flat = np.asarray(storage)
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if all(size) else offset
    if offset < 0 or any(n < 0 for n in size) or any(s < 0 for s in stride) or last > flat.size:
        raise Refused("a tensor that reaches beyond its storage")
    if not all(size):
        return np.zeros(size, dtype=flat.dtype)
    if last >= flat.size:
        raise Refused("a tensor that reaches beyond its storage")
    view = np.lib.stride_tricks.as_strided(flat[offset:], size, [s * flat.itemsize for s in stride])
    return view.copy()


class Reader(pickle.Unpickler):
    """Finds what is listed and nothing else. `storage` reads a tensor's numbers by their key."""

    def __init__(self, file: Any, storage: Callable[[str, str, int], Any] | None = None) -> None:
        super().__init__(file)
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        """Return a listed class or function, or what stands in for it."""
        at = (module, name)
        if at in _NUMPY:
            return super().find_class(module, name)
        if at == ("collections", "OrderedDict"):
            return OrderedDict
        if at in _ESTIMATORS:
            return type(name, (Estimator,), {"kind": name})
        if at in _INERT:
            return Husk
        if at == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuilt
        if at == ("torch._utils", "_rebuild_parameter"):
            return lambda data, *_: data
        if module == "torch" and name in _STORAGES:
            return name
        if at == ("torch.storage", "_load_from_bytes"):
            return _legacy_storage
        raise Refused(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        """Return the numbers of a tensor's storage."""
        if self._storage is None or not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise Refused("a reference to something outside")
        kind, key, count = pid[1], pid[2], pid[4]
        if kind not in _STORAGES or not isinstance(key, str) or not isinstance(count, int):
            raise Refused("a storage of an unknown type")
        return self._storage(_STORAGES[kind], key, count)


def _legacy_storage(content: bytes) -> Any:
    """Return the numbers of one storage in PyTorch's older form: five pickles, then a count and the numbers."""
    if not isinstance(content, bytes):
        raise Refused("a storage that is not bytes")
    file, found = io.BytesIO(content), dict[str, tuple[str, int]]()

    def later(form: str, key: str, count: int) -> Any:
        found[key] = (form, count)
        return key

    for _ in range(3):
        Reader(file).load()
    wanted = Reader(file, later).load()
    keys = Reader(file).load()
    if keys != [wanted] or wanted not in found:
        raise Refused("a storage of an unknown form")
    form, count = found[wanted]
    (stated,) = struct.unpack("<q", file.read(8))
    numbers = np.frombuffer(file.read(), dtype=form)
    if stated != count or numbers.size < count:
        raise Refused("a storage that is cut off")
    return numbers[:count]


def read(content: bytes) -> Any:
    """Return what a pickle, or a `.pt` archive, holds."""
    if content[:4] != b"PK\x03\x04":
        return Reader(io.BytesIO(content)).load()
    archive = zipfile.ZipFile(io.BytesIO(content))
    if sum(info.file_size for info in archive.infolist()) > LARGEST:
        raise Refused("an archive of more than 512 MiB")
    [data] = [name for name in archive.namelist() if name == "data.pkl" or name.endswith("/data.pkl")]
    folder = data.removesuffix("data.pkl")

    def storage(form: str, key: str, count: int) -> Any:
        numbers = np.frombuffer(archive.read(f"{folder}data/{key}"), dtype=form)
        if numbers.size < count:
            raise Refused("a storage that is cut off")
        return numbers[:count]

    return Reader(io.BytesIO(archive.read(data)), storage).load()


def described(found: Any) -> Described:
    """Return kind, arrays and model names of what was read."""
    if isinstance(found, Estimator):
        if found.kind not in _ESTIMATED:
            raise _unknown(found.kind)
        return _ESTIMATED[found.kind](found.__dict__)
    if isinstance(found, dict) and found and all(isinstance(value, np.ndarray) for value in found.values()):
        arrays = {str(name): np.asarray(value, dtype=np.float64) for name, value in found.items()}
        if {"P.weight", "text_proj.weight", "classifier.weight"} <= set(arrays):
            return "mf", arrays, []
        if "layers.0.weight" in arrays:
            return "mlp", _layers(arrays), []
    raise _unknown(type(found).__name__)


def _unknown(name: str) -> Refused:
    return Refused(f"an object of type {name}, which is no trained router")


def _names(own: dict[str, Any]) -> list[str]:
    return [str(name) for name in np.asarray(own["classes_"]).tolist()]


def _neighbours(own: dict[str, Any]) -> Described:
    arrays = {"points": _floats(own["_fit_X"]), "labels": np.asarray(own["_y"], dtype=np.int64).ravel()}
    return "knn", {**arrays, "neighbours": np.array([int(own["n_neighbors"])])}, _names(own)


def _machine(own: dict[str, Any]) -> Described:
    if "coef_" in own:
        rows = {"weights": _floats(own["coef_"]), "offset": _floats(own["intercept_"])}
        return "linear-svm", rows, _names(own)
    gamma, kernel = float(own["_gamma"]), str(own["kernel"])
    if kernel not in ("linear", "rbf"):
        raise Refused(f"a support vector machine with kernel {kernel!r}; linear and rbf are read")
    arrays = {
        "vectors": _floats(own["support_vectors_"]), "dual": _floats(own["_dual_coef_"]),
        "intercept": _floats(own["_intercept_"]), "count": np.asarray(own["_n_support"], dtype=np.int64),
        "gamma": np.array([0.0 if kernel == "linear" else gamma]),
    }  # fmt: skip
    return "svm", arrays, _names(own)


def _network(own: dict[str, Any]) -> Described:
    if own.get("activation") not in ("relu", "identity"):
        raise Refused(f"a network with activation {own.get('activation')!r}; relu is read")
    layers = list(zip(own["coefs_"], own["intercepts_"], strict=True))
    if own["activation"] == "identity" and len(layers) > 1:
        raise Refused("a network without activation; train a linear strategy instead")
    arrays = {}
    for at, (weights, offset) in enumerate(layers):
        arrays[f"weight{at}"], arrays[f"offset{at}"] = _floats(weights).T, _floats(offset)
    return "mlp", arrays, _names(own)


_ESTIMATED = {
    "KNeighborsClassifier": _neighbours, "SVC": _machine, "LinearSVC": _machine, "MLPClassifier": _network,
}  # fmt: skip


def _layers(arrays: dict[str, Any]) -> dict[str, Any]:
    count = sum(name.endswith(".weight") for name in arrays)
    found = {}
    for at in range(count):
        found[f"weight{at}"] = arrays[f"layers.{at}.weight"]
        found[f"offset{at}"] = arrays[f"layers.{at}.bias"]
    return found


def _floats(values: Any) -> Any:
    return np.asarray(values, dtype=np.float64)


def _end(event: str, _: Any) -> None:
    if event.split(".")[0] in _BARRED or event in _BARRED:
        os.write(2, f"refused: {event}\n".encode())
        os._exit(77)


_BARRED = frozenset({
    "open", "socket", "subprocess", "import", "ctypes", "shutil", "os", "pty", "webbrowser", "ftplib", "http", "urllib",
    "smtplib", "sqlite3", "tempfile", "glob", "mmap", "signal", "code", "exec", "compile", "syslog", "fcntl",
    "resource", "winreg", "msvcrt", "telnetlib", "poplib", "imaplib", "nntplib",
})  # fmt: skip


def lock() -> None:
    """Put up the walls that are put up from inside; from here on nothing can be opened, started or imported."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    sys.addaudithook(_end)


def main() -> None:
    """Read standard input, write standard output."""
    content = sys.stdin.buffer.read(LARGEST + 1)
    for module in {module for module, _ in _NUMPY}:  # while imports are possible
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    out = io.BytesIO()
    np.savez(out, warm=np.zeros(1), text=np.array("warm"))
    np.load(io.BytesIO(out.getvalue()), allow_pickle=False)["warm"]
    lock()
    try:
        if len(content) > LARGEST:
            raise Refused("more than 512 MiB")
        kind, arrays, names = described(read(content))
        if not all(np.isfinite(values).all() for values in arrays.values()):
            raise Refused("numbers that are not finite")
        about = json.dumps({"kind": kind, "models": names})
    except Refused as error:
        about, arrays = json.dumps({"refused": str(error)}), {}
    except MemoryError:
        about, arrays = json.dumps({"refused": "more than the memory that is allowed"}), {}
    except Exception as error:  # noqa: BLE001 - whatever somebody's pickle raises is a refusal
        about, arrays = json.dumps({"refused": f"what cannot be read ({type(error).__name__})"}), {}
    answer = io.BytesIO()
    np.savez(answer, about=np.array(about), **{f"a_{name}": values for name, values in arrays.items()})
    sys.stdout.buffer.write(answer.getvalue())
    sys.stdout.buffer.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
