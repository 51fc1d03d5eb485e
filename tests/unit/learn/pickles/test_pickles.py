"""Pickled routers: what is read of them, what they become, and what a hostile one does not get to do."""

import io
import os
import pickle
import socket
import struct
import subprocess
import sys
import types
import zipfile
from collections import OrderedDict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC, LinearSVC

from routeiq.core.candidate import Candidate
from routeiq.core.errors import DataError
from routeiq.core.request import RouteRequest
from routeiq.learn.pickles import Opened, convert, open_pickle
from routeiq.learn.pickles.sandbox import READER
from routeiq.routing.stages import Features, View
from routeiq.routing.strategies import recipe
from routeiq.routing.table import CandidateTable
from routeiq.routing.vitals import Vitals

NAMES = ["alpha", "beta", "gamma"]
CHANCE = np.random.default_rng(0)
VECTORS = CHANCE.normal(size=(240, 12))
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)
LABELS = np.array(NAMES)[VECTORS[:, :3].argmax(axis=1)]
PROBES = VECTORS[:60]


def choices(artifact: Any, probes: Any = PROBES) -> list[str]:
    """Whom an artifact puts first."""
    table = CandidateTable(tuple(Candidate(name) for name in artifact.manifest.candidates))
    scorer = recipe(artifact.manifest.strategy).scorer(table, artifact)
    found = []
    for vector in probes.astype(np.float32):
        view = View(RouteRequest("r", "auto"), Features(vector, "their@1"), table, Vitals())
        found.append(table.names[int(np.nanargmax(scorer.predict(view).score))])
    return found


def kept(path: Path, what: Any) -> Path:
    """A file with a pickle."""
    path.write_bytes(pickle.dumps(what))
    return path


@pytest.mark.parametrize(
    ("estimator", "strategy", "least"),
    [
        (KNeighborsClassifier(5), "knn", 0.85),
        (KNeighborsClassifier(5, algorithm="kd_tree"), "knn", 0.85),
        (SVC(), "svm", 0.85),
        (SVC(kernel="linear"), "svm", 0.85),
        (LinearSVC(), "svm", 1.0),
        (MLPClassifier((16,), max_iter=40, random_state=1), "mlp", 1.0),
        (MLPClassifier((16, 8), max_iter=40, random_state=1), "mlp", 1.0),
    ],
    ids=lambda value: str(value)[:40],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_estimators_decide_as_they_did(estimator: Any, strategy: str, least: float, tmp_path: Path) -> None:
    """An imported router puts the same model first: always where its form is ours, nearly always elsewhere."""
    estimator.fit(VECTORS, LABELS)
    artifact = convert(open_pickle(kept(tmp_path / "router.pkl", estimator)), [], "their@1")
    assert (artifact.manifest.strategy, artifact.manifest.candidates) == (strategy, tuple(NAMES))
    same = np.mean([a == b for a, b in zip(choices(artifact), estimator.predict(PROBES).tolist(), strict=True)])
    assert same >= least
    assert artifact.manifest.training.get("agreement", 1.0) > 0.7


def test_two_models_are_told_apart(tmp_path: Path) -> None:
    """Where one output decides between two classes, each model gets its own."""
    labels = np.where(VECTORS[:, 0] > 0, "alpha", "beta")
    for estimator in (LinearSVC(), SVC(kernel="linear")):
        estimator.fit(VECTORS, labels)
        artifact = convert(open_pickle(kept(tmp_path / "two.pkl", estimator)), [], "their@1")
        same = [a == b for a, b in zip(choices(artifact), estimator.predict(PROBES).tolist(), strict=True)]
        assert np.mean(same) > 0.9


class FakeStorage:
    """A storage that a pickle refers to as PyTorch's do."""

    def __init__(self, values: Any) -> None:
        self.values = np.ascontiguousarray(values, dtype="<f4")


def _rebuild_tensor_v2(*_: Any) -> None: ...
def _load_from_bytes(content: bytes) -> None: ...


class FloatStorage: ...


class Tensor:
    """A tensor as PyTorch pickles it; `inline` as `pickle.dump` does, else as `torch.save` does."""

    def __init__(self, values: Any, inline: bool) -> None:
        self.values, self.inline = np.ascontiguousarray(values, dtype="<f4"), inline

    def __reduce__(self) -> Any:
        shape = self.values.shape
        stride = tuple(s // 4 for s in self.values.strides)
        storage = Inline(self.values) if self.inline else FakeStorage(self.values)
        return _rebuild_tensor_v2, (storage, 0, shape, stride, False, OrderedDict())


class Inline:
    """A storage inside the pickle, in PyTorch's older form."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __reduce__(self) -> Any:
        out = io.BytesIO()
        for word in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
            out.write(pickle.dumps(word, 2))
        Saver(out, {}).dump(FakeStorage(self.values))
        out.write(pickle.dumps(["0"], 2) + struct.pack("<q", self.values.size) + self.values.tobytes())
        return _load_from_bytes, (out.getvalue(),)


class Saver(pickle.Pickler):
    """Writes storages aside, as `torch.save` does."""

    def __init__(self, file: Any, aside: dict[str, bytes]) -> None:
        super().__init__(file, 2)
        self.aside = aside

    def persistent_id(self, obj: Any) -> Any:
        if not isinstance(obj, FakeStorage):
            return None
        key = str(len(self.aside))
        self.aside[key] = obj.values.tobytes()
        return ("storage", FloatStorage, key, "cpu", obj.values.size)


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names under which PyTorch's functions are pickled."""
    for function, module in ((_rebuild_tensor_v2, "torch._utils"), (_load_from_bytes, "torch.storage")):
        fake = types.ModuleType(module)
        setattr(fake, function.__name__, function)
        monkeypatch.setitem(sys.modules, module, fake)
        monkeypatch.setattr(function, "__module__", module)
    root = types.ModuleType("torch")
    root.FloatStorage = FloatStorage  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", root)
    monkeypatch.setattr(FloatStorage, "__module__", "torch")


def saved(path: Path, state: dict[str, Any], form: str) -> Path:
    """A state dict as `.pkl`, or as the archive that `torch.save` writes."""
    found = OrderedDict((name, Tensor(values, inline=form == "pkl")) for name, values in state.items())
    if form == "pkl":
        return kept(path, found)
    data, aside = io.BytesIO(), dict[str, bytes]()
    Saver(data, aside).dump(found)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("router/data.pkl", data.getvalue())
        for key, content in aside.items():
            archive.writestr(f"router/data/{key}", content)
    return path


@pytest.mark.parametrize("form", ["pkl", "pt"])
def test_state_dicts_are_read_without_pytorch(form: str, torch: None, tmp_path: Path) -> None:
    """The bilinear router and the network put first whom their formulas put first."""
    models, projection, last = CHANCE.normal(size=(3, 6)), CHANCE.normal(size=(6, 12)), CHANCE.normal(size=(1, 6))
    state = {"P.weight": models, "text_proj.weight": projection, "classifier.weight": last}
    artifact = convert(open_pickle(saved(tmp_path / f"mf.{form}", state, form)), NAMES, "their@1")
    unit = models / np.linalg.norm(models, axis=1, keepdims=True)
    expected = ((PROBES @ projection.T)[:, None, :] * unit[None] @ last[0]).argmax(axis=1)
    assert artifact.manifest.strategy == "mf"
    assert choices(artifact) == [NAMES[at] for at in expected]
    sizes = [12, 10, 7, 3]
    layers = [(CHANCE.normal(size=(b, a)), CHANCE.normal(size=b)) for a, b in pairwise(sizes)]
    state = {f"layers.{at}.{part}": value for at, pair in enumerate(layers)
             for part, value in zip(("weight", "bias"), pair, strict=True)}  # fmt: skip
    artifact = convert(open_pickle(saved(tmp_path / f"mlp.{form}", state, form)), NAMES, "their@1", norm=3.0)
    active = PROBES * 3.0
    for weights, offset in layers[:-1]:
        active = np.maximum(active @ weights.T + offset, 0.0)
    logits = active @ layers[-1][0].T + layers[-1][1]
    sure = np.sort(logits, axis=1)[:, -2] < 25
    own = np.array(choices(artifact))
    assert (own[sure] == np.array(NAMES)[logits.argmax(axis=1)][sure]).all()


class Does:
    """An object that does something when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return self.function, self.arguments


def attacks(mark: Path, port: int) -> dict[str, Any]:
    """What a hostile pickle tries; each would leave `mark` or reach the port."""
    return {
        "system": Does(os.system, f"touch {mark}"),
        "open": Does(open, str(mark), "w"),
        "socket": Does(socket.create_connection, ("127.0.0.1", port)),
        "eval": Does(eval, f"open({str(mark)!r}, 'w').close()"),
        "subprocess": Does(subprocess.call, ["touch", str(mark)]),
        "inside a router": {"P.weight": Does(os.system, f"touch {mark}")},
        "getattr": Does(getattr, "os", "upper"),
    }


@pytest.mark.parametrize("name", attacks(Path(), 0))
def test_a_hostile_pickle_gets_to_do_nothing(name: str, tmp_path: Path) -> None:
    """Commands, files, sockets: refused by name, and nothing happened."""
    mark = tmp_path / "mark"
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        path = kept(tmp_path / "evil.pkl", attacks(mark, server.getsockname()[1])[name])
        with pytest.raises(DataError, match=r"evil\.pkl holds"):
            open_pickle(path)
        with pytest.raises(TimeoutError):
            server.accept()
    assert not mark.exists()


def behind(code: str, setup: str = "") -> "subprocess.CompletedProcess[str]":
    """Run code where the unpickler has already been got past."""
    script = (
        f"import os, runpy, socket, subprocess, sys\nm = runpy.run_path({str(READER)!r})\n{setup}\nm['lock']()\n{code}"
    )
    return subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    "code",
    [
        "open('MARK', 'w')", "os.system('touch MARK')", "socket.socket()", "subprocess.run(['touch', 'MARK'])",
        "import antigravity", "os.open('MARK', os.O_CREAT)", "exec('1')", "os.fork()",
    ],
)  # fmt: skip
def test_who_gets_past_the_first_wall_meets_the_second(code: str, tmp_path: Path) -> None:
    """The process ends at the attempt, whatever catches exceptions around it."""
    mark = tmp_path / "mark"
    done = behind(f"try:\n    {code.replace('MARK', str(mark))}\nexcept BaseException: pass\nprint('went on')")
    assert done.returncode == 77, done.stderr
    assert "refused" in done.stderr
    assert "went on" not in done.stdout
    assert not mark.exists()


@pytest.mark.parametrize("code", ["open('MARK', 'w').write('x')", "socket.socket()", "bytes(8 << 30)"])
def test_who_gets_past_the_second_meets_the_third(code: str, tmp_path: Path) -> None:
    """Without the audit hook the operating system still gives no file, no socket and no memory without end."""
    mark = tmp_path / "mark"
    done = behind(code.replace("MARK", str(mark)), "sys.addaudithook = lambda hook: None")
    assert done.returncode != 0
    assert any(word in done.stderr for word in ("Too many open files", "MemoryError"))
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "what cannot be read"),
        (pickle.dumps([1, 2]), "an object of type list"),
        (pickle.dumps({"a": np.zeros(3)}), "an object of type dict"),
        (pickle.dumps({"P.weight": np.full((2, 2), np.nan), "text_proj.weight": np.eye(2), "classifier.weight":
                       np.ones((1, 2))}), "not finite"),
        (b"PK\x03\x04 cut off", "what cannot be read"),
        (pickle.dumps(np.array([{}], dtype=object)), "an object of type ndarray"),
    ],
)  # fmt: skip
def test_what_is_no_router_is_said(content: bytes, message: str, tmp_path: Path) -> None:
    """Damaged files and other things end in one message that says what is read."""
    (tmp_path / "x.pkl").write_bytes(content)
    with pytest.raises(DataError, match=message):
        open_pickle(tmp_path / "x.pkl")
    with pytest.raises(DataError, match="cannot be read"):
        open_pickle(tmp_path / "missing.pkl")


def test_names_are_asked_for_where_the_file_has_none() -> None:
    """And must be as many as there are outputs, each once."""
    arrays = {"P.weight": np.eye(3), "text_proj.weight": np.ones((3, 4)), "classifier.weight": np.ones((1, 3))}
    with pytest.raises(DataError, match="3 outputs and no names; give them in its order with --models"):
        convert(Opened("mf", arrays, ()), [], "their@1")
    with pytest.raises(DataError, match="2 names"):
        convert(Opened("mf", arrays, ()), ["a", "b"], "their@1")
    with pytest.raises(DataError, match="do not fit together"):
        convert(Opened("mlp", {"weight0": np.ones((3, 4)), "offset0": np.ones(3), "weight1": np.ones((2, 9)),
                               "offset1": np.ones(2)}, ()), ["a", "b"], "their@1")  # fmt: skip
