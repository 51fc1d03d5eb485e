"""The strategies that `routeiq train` can train on an outcome matrix, by name.

Owns the list only: a family joins by one line. How it fits is its own module, what it promises is
tests/contract/test_learned_strategies.py.
"""

from collections.abc import Mapping

from routeiq.core.errors import UnknownStrategy, nearest
from routeiq.learn import (
    causallm,
    elo,
    ensemble,
    fixed,
    graph,
    hybrid,
    irt,
    kmeans,
    knn,
    linear,
    linucb,
    logistic,
    mf,
    mlp,
    routerdc,
    svm,
    thompson,
)
from routeiq.learn.fitting import FitFamily

FAMILIES: Mapping[str, FitFamily] = {
    "knn": knn.fit,
    "kmeans": kmeans.fit,
    "linear": linear.fit,
    "ensemble": ensemble.fit,
    "fixed": fixed.fit,
    "logistic": logistic.fit,
    "svm": svm.fit,
    "mlp": mlp.fit,
    "hybrid": hybrid.fit,
    "mf": mf.fit,
    "irt": irt.fit,
    "routerdc": routerdc.fit,
    "graph": graph.fit,
    "elo": elo.fit,
    "causallm": causallm.fit,
    "thompson": thompson.fit,
    "linucb": linucb.fit,
}


def family(name: str) -> FitFamily:
    """Return how a family is fitted; raises UnknownStrategy naming the nearest known one."""
    if name not in FAMILIES:
        raise UnknownStrategy(f"no strategy {name!r} can be trained; {nearest(name, FAMILIES)}")
    return FAMILIES[name]
