"""The space that is searched and the points in it."""

import numpy as np

from routeiq.learn.geometry import fit_subspace, prototypes, sums


def cloud(n: int = 300, dimensions: int = 12, seed: int = 0) -> np.ndarray:
    """Return unit vectors that vary along four directions only."""
    chance = np.random.default_rng(seed)
    inside = chance.standard_normal((n, 4)) @ chance.standard_normal((4, dimensions)) + 0.5
    return (inside / np.linalg.norm(inside, axis=1, keepdims=True)).astype(np.float32)


def test_directions_have_unit_length() -> None:
    """What is compared is the angle, not the length."""
    vectors = cloud()
    found = fit_subspace(vectors, 4, 0.5).directions(vectors)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)


def test_the_subspace_keeps_the_similarity_of_what_it_was_fitted_to() -> None:
    """Without whitening, cosines of centred vectors survive when all their variance is kept."""
    vectors = cloud()
    found = fit_subspace(vectors, 8, 0.0).directions(vectors)
    centred = vectors - vectors.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    np.testing.assert_allclose(found @ found.T, centred @ centred.T, atol=1e-3)


def test_a_vector_outside_the_subspace_is_trusted_less() -> None:
    """Trust is 1 for most training vectors and falls with the part of a vector that lies elsewhere."""
    vectors = cloud()
    space = fit_subspace(vectors, 4, 0.5)
    stranger = cloud(50, seed=9)
    assert np.median(space.trust(vectors)) > 0.99
    assert np.median(space.trust(stranger)) < 0.9


def test_a_subspace_of_equal_vectors_is_still_a_subspace() -> None:
    """No variance at all is not an error."""
    space = fit_subspace(np.ones((5, 3), dtype=np.float32), 2, 0.5)
    assert np.isfinite(space.basis).all()
    assert np.isfinite(space.directions(np.ones((5, 3), dtype=np.float32))).all()


def test_few_vectors_are_their_own_prototypes() -> None:
    """Nothing is merged that need not be."""
    assert prototypes(cloud(10), 10, np.random.default_rng(0)).tolist() == list(range(10))


def test_prototypes_gather_what_is_alike() -> None:
    """Two far groups of vectors never share a prototype, and the same seed gathers them in the same way."""
    chance = np.random.default_rng(3)
    left, right = np.array([1.0, 0.0, 0.0]), np.array([-1.0, 0.2, 0.0])
    vectors = np.concatenate(
        [left + 0.05 * chance.standard_normal((40, 3)), right + 0.05 * chance.standard_normal((40, 3))]
    )
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    belongs = prototypes(vectors, 8, np.random.default_rng(1))
    assert not set(belongs[:40]) & set(belongs[40:])
    assert np.array_equal(belongs, prototypes(vectors, 8, np.random.default_rng(1)))


def test_sums_go_to_the_group_that_rows_belong_to() -> None:
    """A group nobody belongs to sums to 0."""
    values = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert sums(values, np.array([2, 0, 2]), 4).tolist() == [[3.0, 4.0], [0.0, 0.0], [6.0, 8.0], [0.0, 0.0]]
