"""The evaluation, its JSON and its page."""

import json
import re
from dataclasses import asdict, replace
from html.parser import HTMLParser
from math import isnan

import numpy as np
import pytest

from routeiq.core.errors import DataError, UnknownStrategy
from routeiq.learn import auto, evaluate, knn, report
from routeiq.learn.comparison import Evaluation, compare
from routeiq.learn.decisions import by_artifact, by_strategy
from routeiq.learn.evaluate import LAMBDAS, Judged, Reference
from routeiq.learn.leakage import leakage
from routeiq.learn.page import page
from routeiq.learn.retraining import fit_again, learning_curve, leave_out
from routeiq.learn.robustness import CHANGES, stability, typos
from tests.unit.learn.scene import WordEmbedder, vectors, world

MATRIX = world(400)
TRAIN, TEST = MATRIX.split("train"), MATRIX.split("test")
REFERENCE = Reference.of(TRAIN)
ARTIFACT = knn.fit(TRAIN, vectors(TRAIN), WordEmbedder().id)
DECIDED = by_artifact(ARTIFACT, TEST, vectors(TEST), REFERENCE, LAMBDAS)


@pytest.fixture(scope="module")
def found() -> Evaluation:
    """The evaluation of a small kNN artifact."""
    return compare(DECIDED, MATRIX, "test", REFERENCE, resamples=50)


def test_the_figures_are_those_of_the_measures(found: Evaluation) -> None:
    """The router's row is what `learn.evaluate` says of the same predictions; so are the baselines."""
    judged = Judged.of(TEST, REFERENCE)
    assert DECIDED.score is not None
    assert asdict(found.rows["router"]) == pytest.approx(asdict(evaluate.measure(DECIDED.score, judged, REFERENCE)))
    for name, row in evaluate.baselines(judged, REFERENCE).items():
        assert str(found.rows[name]) == str(row)
    fixed = np.full((1, len(judged)), REFERENCE.best)
    assert found.gains["score_vs_best_fixed"] == evaluate.paired(
        DECIDED.choices[:1], fixed, judged, REFERENCE, resamples=50
    )


def test_intervals_contain_their_value(found: Evaluation) -> None:
    """Each measure of the router lies between its bounds."""
    for name in ("score", "cost_usd", "aiq"):
        one = found.intervals[name]
        assert one.low <= one.difference <= one.high
        assert one.difference == pytest.approx(getattr(found.rows["router"], name))


def test_prompts_without_every_score_are_left_out_and_counted() -> None:
    """A missing score takes the prompt out of the comparison, and of the decisions alike."""
    matrix = replace(MATRIX, score=MATRIX.score.copy())
    at = [i for i, split in enumerate(matrix.splits) if split == "test"]
    matrix.score[at[:3], 1] = np.nan
    found = compare(DECIDED, matrix, "test", REFERENCE, resamples=2)
    assert (found.prompts, found.incomplete) == (len(TEST) - 3, 3)
    rest = Judged.of(TEST.rows(range(3, len(TEST))), REFERENCE)
    again = evaluate.measure_choices(DECIDED.choices[:, 3:], rest, REFERENCE)
    assert asdict(found.rows["router"]) == pytest.approx(asdict(again))


def test_one_prompt_and_one_lambda_can_be_evaluated() -> None:
    """What is not defined for so little is NaN, and null in JSON."""
    matrix = MATRIX.rows([i for i, s in enumerate(MATRIX.splits) if s == "train" or MATRIX.ids[i] == TEST.ids[0]])
    decided = by_strategy("fixed", matrix.split("test"), REFERENCE, np.zeros(1))
    found = compare(decided, matrix, "test", REFERENCE, resamples=5)
    assert found.prompts == 1
    assert isnan(found.rows["router"].aiq)
    assert report.to_json(found)["measures"]["router"]["aiq"] is None
    assert "<svg" in page(found)


def test_decisions_on_other_prompts_are_refused() -> None:
    """Decisions and split must be about the same prompts."""
    with pytest.raises(DataError, match="other prompts"):
        compare(DECIDED, MATRIX, "valid", REFERENCE)


KEYS = (
    "schema router suites split prompts incomplete fingerprint best_fixed cheapest measures intervals gains "
    "cost_weight arena_best calibration two_models models curve hull zero_hull categories leave_out learning_curve "
    "stability leakage notes"
)


def test_json_has_stable_keys_and_no_nan(found: Evaluation) -> None:
    """The text is strict JSON with the documented keys, one curve point per lambda with its shares."""
    said = json.loads(report.dumps(found), parse_constant=lambda name: pytest.fail(name))
    assert list(said) == KEYS.split()
    assert len(said["curve"]) == len(LAMBDAS)
    assert sum(said["curve"][5]["shares"].values()) == pytest.approx(1.0)
    assert said["measures"]["best_fixed"]["aiq"] is None
    assert said["two_models"] is None


class Tags(HTMLParser):
    """Collects tags and attributes, and whether every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.seen.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Check that it was the last one opened."""
        assert self.open.pop() == tag


def test_the_page_needs_nothing_else(found: Evaluation) -> None:
    """One well-formed page: no script, no address, no file; a view for phones; a numbered dot per model."""
    text = page(found)
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert not re.search(r"https?:|//|url\(|@import", text.replace("<!doctype html>", ""))
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in tags.seen}
    assert not [attrs for _, attrs in tags.seen if {"src", "href"} & set(attrs)]
    assert any(attrs.get("name") == "viewport" for _, attrs in tags.seen)
    assert text.count('class="model"') == len(MATRIX.models)
    assert 'class="router"' in text


def test_names_cannot_write_into_the_page(found: Evaluation) -> None:
    """A model or router whose name is markup is shown as text."""
    evil = "<script>alert(1)</script>"
    text = page(replace(found, router=evil, models=(replace(found.models[0], name=evil), *found.models[1:])))
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def decide(prompts: object) -> object:
    """Return the decisions on prompts at two lambdas."""
    return by_artifact(ARTIFACT, prompts, vectors(prompts), REFERENCE, LAMBDAS[[0, 60]])  # type: ignore[arg-type]


def test_stability_counts_decisions_that_stay() -> None:
    """An embedder that sees letters loses decisions in upper case, none in lower case where all letters are lower."""
    rows = {one.change: one for one in stability(decide, TEST, lambda p: Judged.of(p, REFERENCE), most=30)}
    assert set(rows) == set(CHANGES)
    assert all(one.prompts == 30 for one in rows.values())
    assert (rows["lower_case"].unchanged, rows["lower_case"].score) == (1.0, 0.0)
    assert rows["upper_case"].unchanged < 1.0


def test_typos_change_about_two_per_cent() -> None:
    """The same seed makes the same mistakes, in about 2 % of the characters."""
    text = "abcdefghij" * 1000
    changed = typos(text, np.random.default_rng(1))
    assert changed == typos(text, np.random.default_rng(1))
    assert abs(len(changed) - len(text)) < 100
    same = sum(a == b for a, b in zip(text[:40], changed[:40], strict=True))
    assert same >= 30


def test_leakage_finds_equal_and_near_prompts() -> None:
    """Case, outer space and Unicode form do not hide a duplicate; a near one is found by its embedding."""
    train = replace(TRAIN.rows([0, 1, 2]), texts=("Caf\u00e9 one", "two", "rose moon ode"))
    asked = replace(TEST.rows([0, 1, 2]), texts=(" cafe\u0301 ONE\n", "rose ode moon", "elegy"))
    seen = leakage(train, asked, vectors(train), vectors(asked))
    assert (seen.prompts, seen.same, seen.near, seen.inside) == (3, 1, 1, 0)
    assert seen.examples == ((asked.ids[0], train.ids[0]), (asked.ids[1], train.ids[2]))
    assert leakage(train, asked).near is None


def test_leave_out_trains_without_the_category() -> None:
    """With maths left out, nothing is known that tells it from verse, and the result is that of verse's best model."""
    rows = {one.category: one for one in leave_out(ARTIFACT, MATRIX, vectors(MATRIX), seconds=60)}
    assert set(rows) == {"maths", "verse"}
    assert rows["maths"].prompts == 200
    assert rows["maths"].difference == pytest.approx(rows["maths"].score - rows["maths"].best_fixed)
    verse = MATRIX.rows(np.array([c == "verse" for c in MATRIX.categories])).split("train")
    maths = MATRIX.rows(np.array([c == "maths" for c in MATRIX.categories]))
    assert rows["maths"].best_fixed == pytest.approx(maths.score[:, Reference.of(verse).best].mean())
    assert leave_out(ARTIFACT, MATRIX, vectors(MATRIX), seconds=-1) == ()


def test_the_learning_curve_ends_with_all_prompts() -> None:
    """Its last point is the artifact trained on everything."""
    points = learning_curve(ARTIFACT, MATRIX, vectors(MATRIX), "test", seconds=60)
    assert [one.prompts for one in points] == [100, 200, len(TRAIN)]
    assert points[-1].score == pytest.approx(
        compare(DECIDED, MATRIX, "test", REFERENCE, resamples=1).rows["router"].score
    )


def test_what_auto_chose_is_chosen_again() -> None:
    """An artifact that `auto` chose is fitted by it, any other by its family, a strategy of neither is refused."""
    chosen = replace(ARTIFACT, manifest=replace(ARTIFACT.manifest, training={"auto": {}}))
    assert (fit_again(chosen), fit_again(ARTIFACT)) == (auto.fit, knn.fit)
    with pytest.raises(UnknownStrategy, match="no strategy 'random' can be trained"):
        fit_again(replace(ARTIFACT, manifest=replace(ARTIFACT.manifest, strategy="random")))
