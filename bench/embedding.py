"""Time the embedders: milliseconds per prompt, one thread, one prompt at a time.

    python bench/embedding.py                      # the default embedder, a table
    python bench/embedding.py --once               # the same in a few seconds
    python bench/embedding.py --onnx DIR           # and a folder of scripts/export_minilm.py
    python bench/embedding.py --json FILE          # write the figures too
    python bench/embedding.py --cpu                # processor time of the thread, for a machine with other work

Every prompt is timed once and no two are equal, so that the word cache helps as much as it would in service. The
hostile rows are inputs made to be dear; their bound is the reason why the default embedder may run on the event loop.
"""

import argparse
import gc
import json
import platform
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from routeiq.core.ports import Embedder
from routeiq.routing.embedding import WordPiece, load_default
from routeiq.routing.embedding import static as default

LENGTHS = (50, 2_000, 8_000)
"""Tokens of an ordinary prompt."""

PERCENTILES = (50, 99, 99.9)

Prompts = Callable[[random.Random], str]
Clock = Callable[[], int]


def ordinary(wordpiece: WordPiece, words: list[str], tokens: int) -> Prompts:
    """Prompts of about so many tokens: English-like frequencies, some punctuation, one word in ten unknown."""
    weights = [1.0 / (rank + 3) for rank in range(len(words))]

    def prompt(rng: random.Random) -> str:
        drawn = rng.choices(words, weights, k=tokens)
        text = " ".join(
            f"{word}{rng.choice(words)}" if rng.random() < 0.1 else word + rng.choice(("", "", "", "", "", ",", ". "))
            for word in drawn
        )
        ids = wordpiece.ids(text)
        return text[: len(text) * tokens // len(ids)]

    return prompt


def hostile() -> Iterator[tuple[str, Prompts]]:
    """Inputs that look for the dearest path, a hundred thousand characters each."""
    size = 100_000

    def drawn(first: int, last: int) -> Prompts:
        def prompt(rng: random.Random) -> str:
            codes = np.random.default_rng(rng.getrandbits(32)).integers(first, last, size, dtype=np.uint32)
            return codes.tobytes().decode("utf-32-le")

        return prompt

    yield "one word", lambda rng: chr(rng.randrange(97, 123)) * size
    yield "Chinese", drawn(0x4E00, 0x9FFF)
    yield "letters in words of 9", lambda rng: " ".join("".join(rng.choices("etaoinshrdlu", k=9)) for _ in range(250))
    yield "letters in words of 99", lambda rng: " ".join("".join(rng.choices("etaoinshr", k=99)) for _ in range(25))
    yield "bytes as UTF-8", lambda rng: rng.randbytes(size).decode("utf-8", "replace")
    yield "bytes as Latin-1", lambda rng: rng.randbytes(size).decode("latin-1")
    yield "all of Unicode", drawn(0xE000, 0x110000)
    yield "combining accents", drawn(0x300, 0x370)
    yield "Hangul", drawn(0xAC00, 0xD7A3)


def measure(embedder: Embedder, prompts: Prompts, count: int, seed: int, clock: Clock) -> list[float]:
    """Milliseconds of `count` different prompts at the percentiles; twenty more warm up."""
    rng = random.Random(seed)
    texts = [prompts(rng) for _ in range(count + 20)]
    for text in texts[:20]:
        embedder.embed(text)
    gc.collect()
    times = np.empty(count)
    for index, text in enumerate(texts[20:]):
        start = clock()
        embedder.embed(text)
        times[index] = (clock() - start) / 1e6
    return [float(value) for value in np.percentile(times, PERCENTILES)]


def rows(embedders: list[Embedder], *, once: bool, clock: Clock) -> Iterator[dict[str, object]]:
    """One row per embedder and kind of prompt."""
    folder = Path(default.__file__).with_name("data") / "minilm-static-256"
    wordpiece = WordPiece.from_file(folder / "vocab.txt")
    words = [word for word in (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()[1_996:] if word.isalpha()]
    kinds = [(f"{tokens:,} tokens", ordinary(wordpiece, words, tokens)) for tokens in LENGTHS]
    for embedder in embedders:
        count = (100 if once else 2_000) if embedder.inline else (10 if once else 200)
        for kind, prompts in kinds + (list(hostile()) if embedder.inline else []):
            p50, p99, p999 = measure(embedder, prompts, count if "tokens" in kind else min(count, 500), 11, clock)
            yield {"embedder": embedder.id, "prompt": kind, "p50_ms": p50, "p99_ms": p99, "p99_9_ms": p999}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--once", action="store_true", help="few prompts, a few seconds: for checking that it runs")
    parser.add_argument("--onnx", type=Path, action="append", default=[], help="folder with model.onnx; repeatable")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--cpu", action="store_true", help="measure processor time instead of wall-clock time")
    arguments = parser.parse_args()
    clock = time.thread_time_ns if arguments.cpu else time.perf_counter_ns
    start = time.perf_counter()
    embedders: list[Embedder] = [load_default()]
    print(f"default embedder loaded in {(time.perf_counter() - start) * 1e3:.0f} ms")
    if arguments.onnx:
        from routeiq.adapters.onnx import OnnxEmbedder

        embedders += [OnnxEmbedder(folder, name=folder.name) for folder in arguments.onnx]
    results = []
    print(f"{'embedder':<34} {'prompt':<24} {'p50 ms':>8} {'p99 ms':>8} {'p99.9':>8}")
    for row in rows(embedders, once=arguments.once, clock=clock):
        results.append(row)
        print("{embedder:<34} {prompt:<24} {p50_ms:8.3f} {p99_ms:8.3f} {p99_9_ms:8.3f}".format(**row), flush=True)
    if arguments.json:
        machine = {
            "clock": clock.__name__,
            "machine": platform.machine(),
            "python": platform.python_version(),
            "numpy": np.__version__,
        }
        arguments.json.write_text(json.dumps({**machine, "rows": results}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
