"""A head on a language-model encoder in ONNX form on disk: trained, saved, and asked for prompts it has not seen."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.adapters.onnx import OnnxEmbedder
from routeiq.adapters.onnx.graph import build_encoder
from routeiq.core.artifact import Artifact
from routeiq.core.errors import EmbedderMismatch
from routeiq.learn.causallm import fit
from routeiq.learn.training import predict, table_of
from routeiq.routing.codec import check_embedder
from routeiq.routing.strategies import recipe
from tests.unit.adapters.onnx.encoder import SHAPE, VOCABULARY, random_weights
from tests.unit.learn.scene import MODELS, WORDS, vectors, world

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> OnnxEmbedder:
    """A small BERT with random weights that knows the words of the toy world, as a folder on disk."""
    folder: Path = tmp_path_factory.mktemp("encoder")
    onnx.save(build_encoder(random_weights(), SHAPE), str(folder / "model.onnx"))
    words = [*SPECIAL, *(word for topic in WORDS.values() for word in topic)]
    assert len(words) <= VOCABULARY
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    return OnnxEmbedder(folder)


@pytest.fixture(scope="module")
def artifact(encoder: OnnxEmbedder) -> Artifact:
    """Trained on what the encoder says of the toy world's prompts."""
    matrix = world(300)
    return fit(matrix, encoder.embed_many(matrix.texts), encoder.id)


def test_it_learns_from_the_hidden_states_of_a_language_model(encoder: OnnxEmbedder, artifact: Artifact) -> None:
    """On prompts it has not seen it expects the poet to be good in verse and not in mathematics."""
    fresh, table = world(60, seed=9), table_of(world(4))
    scorer = recipe("causallm").scorer(table, artifact)
    found = predict(scorer, table, encoder.embed_many(fresh.texts), encoder.id)
    of_verse = np.array([category == "verse" for category in fresh.categories])
    poet, cheap = MODELS.index("poet"), MODELS.index("cheap")
    assert found[~of_verse, poet].mean() < found[~of_verse, cheap].mean() - 0.1
    assert found[of_verse, poet].mean() > found[of_verse, cheap].mean() + 0.1


def test_the_artifact_asks_for_the_encoder_it_was_trained_with(
    encoder: OnnxEmbedder, artifact: Artifact, tmp_path: Path
) -> None:
    """Saved and loaded, it is refused with any other embedder."""
    FileArtifactStore().save(str(tmp_path / "head"), artifact)
    loaded = FileArtifactStore().load(str(tmp_path / "head"))
    check_embedder(loaded, encoder.id, encoder.dimensions)
    with pytest.raises(EmbedderMismatch):
        check_embedder(loaded, "another@1", encoder.dimensions)


def test_shares_are_of_all_models_whoever_is_a_candidate(artifact: Artifact, encoder: OnnxEmbedder) -> None:
    """With fewer candidates each one's expected score is what it was."""
    matrix = world(4)
    whole, part = table_of(matrix), table_of(matrix.columns([2, 0]))
    asked = encoder.embed_many([" ".join(WORDS["verse"][:4])])
    among_all = predict(recipe("causallm").scorer(whole, artifact), whole, asked, encoder.id)
    among_two = predict(recipe("causallm").scorer(part, artifact), part, asked, encoder.id)
    np.testing.assert_allclose(among_two[0], among_all[0, [2, 0]], rtol=1e-5)


def test_more_sharply_named_where_scores_differ_more() -> None:
    """A topic without difference between models leaves the head without an opinion."""
    matrix = world(300)
    matrix.score[:] = matrix.score[:, :1]
    assert float(fit(matrix, vectors(matrix), "words@1").arrays["gain"][0]) == pytest.approx(0.0, abs=1e-6)
