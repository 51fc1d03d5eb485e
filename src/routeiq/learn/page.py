"""An evaluation as one HTML page that needs nothing else: no script, no address, the plot as inline SVG.

Owns how the figures are shown. What they are is `learn.comparison`; the plot is `learn.plot`.
"""

from collections.abc import Iterable, Sequence
from html import escape
from math import isnan

from routeiq.learn.comparison import ROUTER, Evaluation
from routeiq.learn.evaluate import Interval
from routeiq.learn.plot import calibration_plot, cost_quality_plot

LABELS = {
    ROUTER: "router",
    "best_fixed": "best fixed model",
    "cheapest": "cheapest model",
    "random": "random",
    "zero_router": "zero router",
    "dataset_oracle": "dataset oracle",
    "oracle": "oracle",
}

GAINS = {
    "score_vs_best_fixed": "score against the best fixed model",
    "score_vs_dataset_oracle": "score against the dataset oracle",
    "aiq_vs_training_means": "AIQ against choosing by training means",
    "aiq_vs_dataset_oracle": "AIQ against the dataset oracle",
}

_STYLE = """
:root{color-scheme:light dark;--ink:#1c2530;--soft:#5b6875;--paper:#fff;--line:#d8dee5;--router:#0b6bcb;--fixed:#c2410c}
@media(prefers-color-scheme:dark){:root{--ink:#e6ebf0;--soft:#9aa7b4;--paper:#12171d;--line:#303a45;--router:#5aa9ff;
--fixed:#fb923c}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:60rem;margin:0 auto;
padding:1rem}
h1{font-size:1.5rem;margin:.5rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}p{margin:.5rem 0}.soft{color:var(--soft)}
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}
th,td{padding:.25rem .6rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th:first-child,td:first-child,.named :is(th,td):nth-child(2){text-align:left}
tr.own td{font-weight:600;color:var(--router)}
svg{width:100%;height:auto;display:block}svg text{fill:var(--soft);font:12px system-ui,sans-serif}
.grid{stroke:var(--line)}.router{stroke:var(--router);fill:none;stroke-width:2.5}
.zero{stroke:var(--fixed);fill:none;stroke-width:1.5;stroke-dasharray:5 4}.model{fill:var(--fixed)}
@media(max-width:40rem){svg text{font-size:20px}}
.points{fill:var(--router);opacity:.45}svg .name{fill:var(--ink)}.bar{fill:var(--router)}
""".strip()


def page(found: Evaluation) -> str:
    """Return the page."""
    suites = ", ".join(found.suites)
    title = f"{found.router} on {suites}, {found.split}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{found.prompts} prompts, {len(found.models)} models, data {escape(found.fingerprint)}</p>',
        f"<p>{escape(verdict(found))}</p>",
        *(f"<p>{escape(note)}</p>" for note in found.notes),
        "<h2>Cost and quality</h2>",
        cost_quality_plot(found),
        _comparison(found),
        "<h2>Paired differences</h2>",
        _table(("difference", "value", "95 % interval"), [
            (GAINS.get(name, name), signed(one.difference), f"{signed(one.low)} to {signed(one.high)}")
            for name, one in found.gains.items()
        ]),
        "<h2>Models</h2>",
        _models(found),
        *_asked_for(found),
    ]  # fmt: skip
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE}\n</style></head>\n<body>\n" + "\n".join(parts)
        + "\n</body></html>\n"
    )  # fmt: skip


def verdict(found: Evaluation) -> str:
    """Return what the intervals allow to be said, in two sentences."""
    own, fixed, gain = found.rows[ROUTER], found.rows["best_fixed"], found.gains["score_vs_best_fixed"]
    said = (
        f"{found.router} scores {own.score:.3f} against {fixed.score:.3f} of the best fixed model "
        f"({found.best_fixed}): {signed(gain.difference)}, {word(gain)}."
    )
    if isnan(own.saving98):
        return f"{said} It does not reach 98 % of that model's score at a lower cost."
    return f"{said} It keeps 98 % of that model's score for {own.saving98:.0%} less."


def word(gain: Interval) -> str:
    """Return what an interval shows."""
    return "better" if gain.low > 0 else "worse" if gain.high < 0 else "no difference shown"


def _comparison(found: Evaluation) -> str:
    heads = ("", "score", "$ / 1000", "AIQ", "saves at 95 %", "98 %", "100 %", "arena")
    rows = []
    for name, label in LABELS.items():
        one = found.rows[name]
        savings = (share(value) for value in (one.saving95, one.saving98, one.saving100))
        rows.append((label, number(one.score), number(one.cost_usd * 1000), number(one.aiq), *savings,
                     number(found.arena[name])))  # fmt: skip
    return _table(heads, rows, own=0)


def _models(found: Evaluation) -> str:
    heads = ("", "model", "score", "$ / 1000", "training score", "chosen at lowest lambda")
    return _table(heads, [
        (str(at), one.name, number(one.score), number(one.cost_usd * 1000), number(one.train_score), share(one.share))
        for at, one in enumerate(found.models, start=1)
    ], kind="wide named")  # fmt: skip


def _asked_for(found: Evaluation) -> Iterable[str]:
    if found.two_models:
        two = found.two_models
        yield "<h2>Two models</h2>"
        rows = (
            ("APGR", number(two.apgr)),
            ("calls to the strong model for half the gain (CPT 50)", share(two.cpt50)),
            ("for 80 % of it (CPT 80)", share(two.cpt80)),
        )
        yield _table(("", "value"), rows)
    if found.calibration:
        yield "<h2>Expected and actual score</h2>"
        yield f"<p>Expected calibration error {found.calibration.error:.3f}.</p>"
        yield calibration_plot(found.calibration)
    yield "<h2>By category</h2>"
    yield _table(("category", "prompts", "router", "best fixed", "difference", "oracle", "$ / 1000", "most chosen"), [
        (c.name, str(c.prompts), number(c.score), number(c.best_fixed), f"{signed(c.difference)} ± {number(c.error)}",
         number(c.oracle), number(c.cost_usd * 1000), f"{c.most} {c.share:.0%}")
        for c in found.categories
    ])  # fmt: skip
    if found.left_out:
        yield "<h2>Tasks it was not trained on</h2>"
        yield _table(("left out", "prompts", "router", "best fixed", "difference"), [
            (c.category, str(c.prompts), number(c.score), number(c.best_fixed),
             f"{signed(c.difference)} ± {number(c.error)}")
            for c in found.left_out
        ])  # fmt: skip
    yield from _health(found)


def _health(found: Evaluation) -> Iterable[str]:
    if found.stability:
        yield "<h2>Stability</h2>"
        yield _table(("change of the prompt", "prompts", "same decision", "over all lambdas", "score"), [
            (s.change.replace("_", " "), str(s.prompts), share(s.unchanged, 1), share(s.unchanged_all, 1),
             signed(s.score))
            for s in found.stability
        ])  # fmt: skip
    if found.learning_curve:
        yield "<h2>Learning curve</h2>"
        yield _table(("training prompts", "score", "AIQ", "saves at 98 %"), [
            (str(s.prompts), number(s.score), number(s.aiq), share(s.saving98)) for s in found.learning_curve
        ])  # fmt: skip
    if found.leakage:
        seen = found.leakage
        near = "not looked at" if seen.near is None else str(seen.near)
        yield "<h2>Prompts that stand in training</h2>"
        yield _table(("", "prompts"), [("the same text", str(seen.same)), ("nearly the same", near),
                     ("twice in the split", str(seen.inside))])  # fmt: skip


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], own: int | None = None, kind: str = "wide"
           ) -> str:  # fmt: skip
    lines = [
        f"<tr{' class=own' if at == own else ''}>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for at, row in enumerate(rows)
    ]
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    return f'<div class="{kind}"><table><tr>{head}</tr>\n' + "\n".join(lines) + "</table></div>"


def number(value: float) -> str:
    """Return a number with three places, - for NaN."""
    return "-" if isnan(value) else f"{value:.3f}"


def signed(value: float) -> str:
    """Return a difference with its sign, - for NaN."""
    return "-" if isnan(value) else f"{value:+.3f}"


def share(value: float, places: int = 0) -> str:
    """Return a share in per cent, - for NaN."""
    return "-" if isnan(value) else f"{value:.{places}%}"
