"""What others do, re-implemented to be compared with: a classifier trained on the argmax label.

This is the recipe of LLMRouter's kNN, SVM and MLP routers and of many papers: label every prompt with "its best model",
the first one in row order among equals, and train a classifier of models on the embeddings. It is here as a baseline
and is no strategy: on most prompts several models tie for best, so that the label says more about the order of the rows
than about the models, and what a model costs is not part of it. Nothing else in this package is trained this way.
"""

from typing import Any, Literal, TypeAlias

import numpy as np

from routeiq.core.errors import ConfigError
from routeiq.learn.evaluate import Choices
from routeiq.learn.geometry import Singles
from routeiq.routing.table import Floats

Classifier: TypeAlias = Literal["knn", "svm", "logistic"]

NEIGHBOURS = 5
"""LLMRouter's default k."""


def argmax_labels(score: Floats) -> Choices:
    """Return the position of each prompt's best model, the first among equals, shape (n,).

    `score` has shape (n, m); NaN never wins. A prompt that nobody solved is labelled with the first model.
    """
    return np.asarray(np.nan_to_num(score, nan=-np.inf).argmax(axis=1), dtype=np.intp)


def tied(score: Floats) -> float:
    """Return the share of prompts on which several models are best, so that row order decides the label."""
    best = np.nanmax(score, axis=1, keepdims=True)
    return float(((score == best).sum(axis=1) > 1).mean())


def argmax_label_choices(kind: Classifier, score: Floats, vectors: Singles, asked: Singles) -> Choices:
    """Return what a classifier trained on argmax labels chooses for prompts, shape (q,).

    `score` (n, m) and `vectors` (n, D) are the training prompts, `asked` (q, D) the ones to route. Parameters are
    LLMRouter's defaults: 5 neighbours of equal weight, or a radial kernel with C = 1. Raises ConfigError.
    """
    labels = argmax_labels(score)
    present = np.unique(labels)
    if present.size == 1:
        return np.full(len(asked), present[0], dtype=np.intp)
    model = _classifier(kind, len(vectors))
    model.fit(vectors, labels)
    return np.asarray(model.predict(asked), dtype=np.intp)


def _classifier(kind: Classifier, prompts: int) -> Any:
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.svm import SVC
    except ImportError as error:
        raise ConfigError("this baseline needs scikit-learn: pip install 'routeiq-router[train]'") from error
    if kind == "knn":
        return KNeighborsClassifier(n_neighbors=min(NEIGHBOURS, prompts))
    return SVC(C=1.0, kernel="rbf", gamma="scale") if kind == "svm" else LogisticRegression(max_iter=300)
