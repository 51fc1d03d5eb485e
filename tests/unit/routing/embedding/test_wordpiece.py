"""WordPiece in Python against the `tokenizers` library, which the ids must equal."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

import routeiq.routing.embedding as embedding
from routeiq.routing.embedding.wordpiece import CACHED_WORDS, MAX_WORD_CHARACTERS, WordPiece, split_words

DATA = Path(embedding.__file__).with_name("data")
VOCABULARY = DATA / "minilm-static-256" / "vocab.txt"
WORDPIECE = WordPiece.from_file(VOCABULARY)


def library() -> Any:
    """The library's uncased BERT over the same vocabulary, without its parsing of special tokens."""
    tokens = {token: index for index, token in enumerate(VOCABULARY.read_text(encoding="utf-8").splitlines())}
    tokenizer = Tokenizer(models.WordPiece(tokens, unk_token="[UNK]", max_input_chars_per_word=MAX_WORD_CHARACTERS))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


LIBRARY = library()
SCRIPTS = st.sampled_from(
    [
        (0x20, 0x7E),  # ASCII
        (0x00, 0xFF),  # controls and Latin-1
        (0x100, 0x24F),  # accents, composed
        (0x300, 0x36F),  # accents, combining
        (0x370, 0x5FF),  # Greek with its two sigmas, Cyrillic, Hebrew
        (0x900, 0xDFF),  # scripts of India
        (0x2000, 0x206F),  # spaces, joiners, dashes
        (0x4E00, 0x9FFF),  # CJK
        (0xAC00, 0xD7A3),  # Hangul, which decomposes
        (0xF900, 0xFAFF),  # CJK compatibility
        (0x1F300, 0x1FAFF),  # emoji
        (0x20000, 0x2FA1F),  # CJK beyond the basic plane
        (0xE000, 0x10FFFF),  # private, unassigned
    ]
)
CHARACTERS = SCRIPTS.flatmap(lambda ends: st.characters(min_codepoint=ends[0], max_codepoint=ends[1]))
WORDS = st.one_of(
    st.sampled_from(
        ["routing", "Café", "naïve", "unaffable", "ΟΔΟΣ", "İstanbul", "don't", "\u0000", "\ufffd", "[CLS]"]
    ),
    st.text(CHARACTERS, min_size=1, max_size=12),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.integers(95, 105).map(lambda n: "a" * n),
)
TEXTS = st.lists(st.tuples(WORDS, st.sampled_from(["", " ", "\n", "\u3000", "\u200d", "."]))).map(
    lambda parts: "".join(word + gap for word, gap in parts)
)


@settings(max_examples=600, deadline=None)
@given(TEXTS)
def test_ids_equal_the_library_on_any_text(text: str) -> None:
    """Whatever the script, the accents and the control characters, the ids are the library's."""
    assert WORDPIECE.ids(text) == LIBRARY.encode(text, add_special_tokens=False).ids


def test_ids_equal_the_library_beside_every_character_of_unicode() -> None:
    """Each code point between two letters joins, splits or vanishes as in the library."""
    text = [f"ab{chr(code)}cd" for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    wrong = []
    for start in range(0, len(text), 256):
        block = " ".join(text[start : start + 256])
        if WORDPIECE.ids(block) != LIBRARY.encode(block, add_special_tokens=False).ids:
            wrong.append(f"U+{ord(text[start][2]):04X} to U+{ord(text[start][2]) + 255:04X}")
    assert not wrong


def test_ids_equal_the_library_on_words_made_of_pieces() -> None:
    """Unknown words made by gluing pieces together are taken apart like in the library."""
    rng = random.Random(5)
    pieces = [token.removeprefix("##") for token in VOCABULARY.read_text(encoding="utf-8").splitlines()[1_000:]]
    for _ in range(2_000):
        text = " ".join("".join(rng.choices(pieces, k=rng.randint(1, 5))) for _ in range(8))
        assert WORDPIECE.ids(text) == LIBRARY.encode(text, add_special_tokens=False).ids


def test_a_word_of_one_hundred_and_one_characters_is_unknown() -> None:
    """The longest word that is taken apart has a hundred characters."""
    assert WORDPIECE.ids("a" * MAX_WORD_CHARACTERS) != [WORDPIECE.unknown]
    assert WORDPIECE.ids("a" * (MAX_WORD_CHARACTERS + 1)) == [WORDPIECE.unknown]


def test_lone_surrogates_are_dropped() -> None:
    """Half of a surrogate pair, which JSON can carry, is ignored and never an error."""
    assert WORDPIECE.ids("a\ud800b \udfff") == WORDPIECE.ids("ab")


def test_special_tokens_in_a_text_are_ordinary_words() -> None:
    """A prompt cannot write a control token."""
    assert split_words("[CLS] x [SEP]") == ["[", "cls", "]", "x", "[", "sep", "]"]
    control = {WORDPIECE.ids(word)[0] for word in ("[CLS]", "[SEP]", "[PAD]", "[MASK]")}
    assert control == set(WORDPIECE.ids("["))


def test_the_cache_is_bounded_and_changes_no_answer() -> None:
    """After more unknown words than the cache holds, its size is within the bound and the ids are the same."""
    wordpiece = WordPiece.from_file(VOCABULARY)
    rng = np.random.default_rng(3)
    words = ["".join(rng.choice(list("bcdfgqxz"), size=9)) for _ in range(2 * CACHED_WORDS)]
    first = [wordpiece.ids(word) for word in words]
    assert len(wordpiece._young) + len(wordpiece._old) <= CACHED_WORDS
    assert [wordpiece.ids(word) for word in words] == first


def test_a_vocabulary_without_the_unknown_token_is_refused() -> None:
    """The error says what the vocabulary lacks."""
    with pytest.raises(ValueError, match=r"2 tokens has no '\[UNK\]'"):
        WordPiece(["a", "b"])
