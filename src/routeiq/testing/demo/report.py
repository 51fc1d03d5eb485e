"""The tables of the demonstration: routers side by side, the share of each model, what routing added in time.

Owns the arithmetic of the comparison and its printing.
"""

import io
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from routeiq.testing.demo.workload import Cell, Item, Reply, Workload


@dataclass(frozen=True, slots=True)
class Row:
    """One router over the test prompts: mean score, US dollars per thousand prompts, mean seconds."""

    name: str
    score: float
    usd_per_1k: float
    latency_s: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """Everything the demonstration found out."""

    title: str
    note: str
    rows: tuple[Row, ...]
    best_fixed: str
    shares: tuple[tuple[str, int, float], ...]
    """Per model: name, prompts served, mean score of those."""
    clients: tuple[tuple[str, int], ...]
    added_ms: tuple[float, float]
    """p50 and p99 of what deciding took, features included, in milliseconds."""
    prompts: int


def compare(workload: Workload, replies: Sequence[Reply], graded: Sequence[float], added: Sequence[float]) -> Result:
    """Set the routed answers beside what other routers would have got on the same prompts.

    The best fixed model is chosen on the train prompts' outcomes where these are known, never on the test prompts.
    """
    items = [reply.item for reply in replies]
    names = [model.name for model in workload.models]
    cells = {(item.id, name): workload.cell(item, name) for item in items for name in names}
    cost = {name: float(np.mean([cells[item.id, name].cost_usd for item in items])) for name in names}
    cheapest, dearest = min(names, key=cost.__getitem__), max(names, key=cost.__getitem__)
    best = best_fixed(workload, names)

    def always(label: str, name: str) -> Row:
        return _row(label, [cells[item.id, name] for item in items], name)

    served = [cells[reply.item.id, reply.served] for reply in replies]
    routed = [
        Cell(score, cell.cost_usd, cell.latency_s) for score, cell in zip(graded, served, strict=True)
    ]  # the score is the grader's, not looked up
    everything = [cells[item.id, name] for item in items for name in names]
    rows = (
        _row("RouteIQ", routed, "learned"),
        always("best fixed model", best),
        always("always largest", dearest),
        always("always smallest", cheapest),
        _row("random", everything, "expected value"),
        _row("oracle", [_oracle(item, names, cells) for item in items], "knows every outcome"),
    )
    return Result(
        title=workload.title,
        note=workload.note,
        rows=rows,
        best_fixed=best,
        shares=_shares(replies, graded),
        clients=tuple(sorted(Counter(reply.client for reply in replies).items())),
        added_ms=(float(np.percentile(added, 50)), float(np.percentile(added, 99))),
        prompts=len(items),
    )


def best_fixed(workload: Workload, names: Sequence[str]) -> str:
    """Return the model with the best mean score on the train prompts; among equals the first."""
    means = {name: float(np.nanmean([workload.train_score(item, name) for item in workload.train])) for name in names}
    return max(names, key=means.__getitem__)


def _row(name: str, cells: Sequence[Cell], note: str) -> Row:
    return Row(
        name,
        score=float(np.mean([cell.score for cell in cells])),
        usd_per_1k=float(np.mean([cell.cost_usd for cell in cells])) * 1000,
        latency_s=float(np.mean([cell.latency_s for cell in cells])),
        note=note,
    )


def _oracle(item: Item, names: Sequence[str], cells: dict[tuple[str, str], Cell]) -> Cell:
    return min((cells[item.id, name] for name in names), key=lambda cell: (-cell.score, cell.cost_usd))


def _shares(replies: Sequence[Reply], graded: Sequence[float]) -> tuple[tuple[str, int, float], ...]:
    by_model: dict[str, list[float]] = {}
    for reply, score in zip(replies, graded, strict=True):
        by_model.setdefault(reply.served, []).append(score)
    ordered = sorted(by_model.items(), key=lambda entry: -len(entry[1]))
    return tuple((name, len(scores), float(np.mean(scores))) for name, scores in ordered)


def show(result: Result, console: Console) -> None:
    """Print the tables."""
    console.print()
    console.print(_routers(result))
    console.print(_models(result))
    clients = ", ".join(f"{count} {name}" for name, count in result.clients)
    console.print(f"[bold]{result.prompts}[/] prompts through the gateway ({clients}).")
    p50, p99 = result.added_ms
    console.print(f"Routing added [bold]{p50:.2f} ms[/] p50 and [bold]{p99:.2f} ms[/] p99 (features and decision).")
    console.print(result.note, style="dim")


def _routers(result: Result) -> Table:
    table = Table(title=result.title, caption="Δ: against the best fixed model", title_justify="left", pad_edge=False)
    table.add_column("router", no_wrap=True)
    for heading in ("score", "$/1,000", "latency", "Δ score", "Δ cost"):
        table.add_column(heading, justify="right", no_wrap=True, min_width=len(heading))
    table.add_column("", overflow="fold")
    reference = next(row for row in result.rows if row.name == "best fixed model")
    for row in result.rows:
        style = "bold green" if row.name == "RouteIQ" else ("dim" if row.name == "oracle" else "")
        cost = row.usd_per_1k / reference.usd_per_1k - 1 if reference.usd_per_1k else 0.0
        table.add_row(
            row.name,
            f"{row.score:.3f}",
            f"{row.usd_per_1k:.3f}",
            f"{row.latency_s:.2f}s",
            f"{row.score - reference.score:+.3f}",
            f"{cost:+.0%}",
            row.note,
            style=style,
        )
    return table


def _models(result: Result) -> Table:
    table = Table(title="where the prompts went", title_justify="left")
    table.add_column("model", no_wrap=True)
    for heading in ("share", "prompts", "score"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for name, count, score in result.shares:
        share = count / result.prompts
        table.add_row(name, f"{share:.0%}", str(count), f"{score:.3f}", "█" * round(share * 20))
    return table


def picture(result: Result) -> str:
    """Return the tables as an SVG that asks nothing of the network: rich would have it fetch a font."""
    console = Console(record=True, width=96, file=io.StringIO())
    show(result, console)
    return re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="routeiq demo"), flags=re.DOTALL)


def markdown(result: Result, command: str, read: Callable[[], str]) -> str:
    """Return the result as a page of Markdown; `read` states date and machine."""
    lines = [f"# {result.title}", "", result.note, "", f"`{command}`, {read()}.", ""]
    lines += ["| router | score | $ per 1,000 | latency (s) | |", "|---|---|---|---|---|"]
    lines += [
        f"| {row.name} | {row.score:.3f} | {row.usd_per_1k:.3f} | {row.latency_s:.2f} | {row.note} |"
        for row in result.rows
    ]
    lines += ["", "| model | prompts | score |", "|---|---|---|"]
    lines += [f"| {name} | {count} | {score:.3f} |" for name, count, score in result.shares]
    p50, p99 = result.added_ms
    lines += ["", f"Routing added {p50:.2f} ms p50 and {p99:.2f} ms p99 (features and decision).", ""]
    return "\n".join(lines)
