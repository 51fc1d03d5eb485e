"""Writes docs/results/side-by-side.md from what was measured, and the published figures beside it, marked as such."""

from math import isnan
from typing import Any

PUBLISHED = (
    ("LLMRouterBench, arXiv 2601.07206", "score against the best fixed model",
     "RouterDC -8.8 %, GraphRouter +3.9 %, EmbedLLM +5.4 %, MODEL-SAT +6.5 %, Avengers (k-means) +6.7 %, "
     "data-set oracle +8.3 %"),
    ("the same, with cost", "gain and saving",
     "Avengers-Pro +4.0 % and 31.7 %, RouteLLM +2.6 % and 11.4 %, GraphRouter +2.8 % and -19.7 %, FrugalGPT -9.5 %, "
     "HybridLLM -12.7 %, OpenRouter auto -24.7 %"),
    ("RouterArena, arXiv 2510.00202", "arena score",
     "leader 76.3, one constant model 70.6 to 75.8, Azure's router 70.4, GPT-5's 64.3, RouterBench MLP 57.6, "
     "kNN 55.5, RouteLLM 48.1"),
    ("RouteLLM, arXiv 2406.18665", "saving factor", "MMLU 1.41, GSM8K 1.49, MT-Bench 3.66"),
    ("the same", "best APGR, CPT50, CPT80", "MMLU .603, 35 %, 70 %; GSM8K .622, 34 %, 63 %"),
    ("Cascade routing, arXiv 2410.10347", "AUC on RouterBench", "cascade routing 76.3, routing 74.4, cascade 73.0"),
)  # fmt: skip
"""Source, measure and figures, as the papers give them."""

PUBLISHED_HEAD = """\
## Published

Figures of the papers, on their own data and pools. They are **not measured here** and do not compare with the tables
above; the suites here are other prompts and other models. They are listed because a reader would look them up.

| source | measure | published figure |
|---|---|---|"""

HEAD = """\
# Side by side

RouteIQ's learned strategies, LLMRouter's recipe and LiteLLM's own routers on the same prompts. Written by
`make bench-routing`; the measures are defined in `routeiq.learn.evaluate`, the strategies described in
[their reference](../reference/strategies/index.md). Everything is fitted on the prompts whose split is `train`; every
figure is of `test`.

{facts}

How to read it: *score* and *$/1000* at lambda 0 (quality is all that counts); *AIQ* is the mean height of the
cost-quality curve; *saves* is the cost saved at 98 % and at 100 % of the best fixed model's score, `-` if that is never
reached; *interval* is the 95 % bootstrap interval of the score against the best fixed model on the same prompts;
*ours there* is the score that **auto** reaches at no more than that cost. A router that is a single point has no AIQ.

- **auto** is `routeiq train auto`, the default: it chooses on train by itself, and decides with the cost that it
  expects of each prompt. The strategies below it have their default settings and each model's mean cost on train.

- *argmax label* is the recipe of LLMRouter's trainers, re-implemented (`routeiq.learn.baselines`): each prompt is
  labelled with the best model, the first in row order among equals, and a classifier learns the labels. It stands here
  twice, with the models in the order of their names and in the reverse: what differs is the ties.
- *LiteLLM's routers* are driven through LiteLLM itself, without calling a model. The quality router asks the
  complexity router for the tier, hence equal rows. Complexity and quality router: *by
  price* puts four models on its tiers, from the cheapest to the best; *tuned on train* puts on each tier, at every
  lambda, the model that is best there on train, which is more than LiteLLM does by itself. The adaptive router gets its
  posterior from every training outcome in place of its PostgreSQL table, at its cap of 200 observations; live it sees
  one model per prompt. Its first point is its default weights, the others vary them.
"""


def render(facts: dict[str, str], suites: list[dict[str, Any]]) -> str:
    """Return the page."""
    lines = [HEAD.format(facts="\n".join(f"- {name}: {value}" for name, value in facts.items()))]
    for suite in suites:
        lines.append(_suite(suite))
    lines.append("\n".join([PUBLISHED_HEAD, *(f"| {' | '.join(row)} |" for row in PUBLISHED)]) + "\n")
    return "\n".join(lines)


def _suite(suite: dict[str, Any]) -> str:
    rows = [
        f"## {suite['name']}\n",
        f"{suite['train']} prompts to train on, {suite['valid']} to choose on, {suite['test']} judged; "
        f"{suite['models']} models; best fixed model {suite['best_fixed']}; several models tie for best on "
        f"{suite['tied']:.0%} of the training prompts. Data fingerprint `{suite['fingerprint']}`.\n",
        "| router | score | $/1000 | AIQ | saves@98 | saves@100 | interval | ours there |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rows += [_row(row) for row in suite["rows"]]
    rows += ["", _above(suite["rows"])]
    if suite["absent"]:
        rows += ["", "Not run: " + "; ".join(f"{a['name']} ({a['why']})" for a in suite["absent"]) + "."]
    return "\n".join(rows) + "\n"


def _above(rows: list[dict[str, Any]]) -> str:
    """Say which other routers reach more than the default, in AIQ or in score at their own cost."""
    ours = next(row for row in rows if row.get("chosen"))
    others = [row for row in rows if row["group"] in ("LLMRouter's recipe", "LiteLLM")]
    curves = [f"{row['name']} (AIQ {row['aiq']:.3f})" for row in others if row["aiq"] >= ours["aiq"]]
    points = [f"{row['name']} ({row['score']:.3f} against {row['ours']:.3f})" for row in others
              if row["score"] > row["ours"] + 5e-4]  # fmt: skip
    found = [*curves, *points]
    return f"Above **{ours['name']}**: " + ("; ".join(found) if found else "none") + "."


def _row(row: dict[str, Any]) -> str:
    low, high = row.get("low"), row.get("high")
    cells = (
        f"**{row['name']}**" if row.get("chosen") else row["name"],
        _number(row["score"], "{:.3f}"),
        _number(row["cost"] * 1000, "{:.3f}"),
        _number(row["aiq"], "{:.3f}"),
        _number(row["saving98"], "{:.0%}"),
        _number(row["saving100"], "{:.0%}"),
        "" if low is None or high is None else f"{low:+.3f} to {high:+.3f}",
        "" if row.get("ours") is None else f"{row['ours']:.3f}",
    )
    return "| " + " | ".join(cells) + " |"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None or isnan(value) else form.format(value)
