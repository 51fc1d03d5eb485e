"""Write the character table of `routeiq.routing.embedding.wordpiece` by asking the `tokenizers` library.

    python scripts/probe_wordpiece.py            # rewrites src/routeiq/routing/embedding/data/characters.npz
    python scripts/probe_wordpiece.py --check    # exit 1 if the shipped table differs

BERT's text cleaning depends on Unicode categories, and `tokenizers` carries its own (older) Unicode tables. Asking it
about every code point makes our ids equal to its ids on every Python version. The table says of each code point
what happens to it once the text is decomposed (NFD) and lower-cased: kept, dropped, or made a word of its own.
Stored as runs: `starts` (uint32, first code point of each run) and `classes` (uint8).
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from routeiq.routing.embedding.wordpiece import DROPPED, ISOLATED, KEPT

TABLE = Path(__file__).resolve().parents[1] / "src/routeiq/routing/embedding/data/characters.npz"


def probe() -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8]]:
    """Class of every code point, as runs."""
    clean = BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=False)
    words = BertPreTokenizer()
    classes = np.full(0x110000, KEPT, dtype=np.uint8)
    for code in range(0x110000):
        if 0xD800 <= code < 0xE000:  # a lone surrogate is no character; the library cannot even be given one
            classes[code] = DROPPED
            continue
        cleaned = clean.normalize_str(f"a{chr(code)}b")
        parts = [part for part, _ in words.pre_tokenize_str(cleaned)]
        if parts == ["ab"]:
            classes[code] = DROPPED
        elif len(parts) == 3:
            classes[code] = ISOLATED
    starts = np.flatnonzero(np.diff(classes, prepend=KEPT + 99)).astype(np.uint32)
    return starts, classes[starts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the shipped table instead of writing it")
    check = parser.parse_args().check
    starts, classes = probe()
    if check:
        with np.load(TABLE) as shipped:
            same = np.array_equal(shipped["starts"], starts) and np.array_equal(shipped["classes"], classes)
        raise SystemExit(0 if same else f"{TABLE.name} differs from what the installed tokenizers library says")
    np.savez(TABLE, starts=starts, classes=classes)
    print(f"wrote {TABLE.name}: {len(starts)} runs")


if __name__ == "__main__":
    main()
