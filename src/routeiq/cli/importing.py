"""`routeiq import`: outcomes in other people's formats to the data folder that training takes."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from routeiq.adapters.sql.sqlite.reading import read_labelled
from routeiq.cli.output import stdout, working
from routeiq.config.database_url import named_address
from routeiq.core.errors import DataError, nearest
from routeiq.core.remembered import Record
from routeiq.learn.formats import llmrouter, payloads, records, routerbench, spend_logs
from routeiq.learn.formats.answers import MISSING, Item, Reader, Skipped, number, scored
from routeiq.learn.formats.conversations import NO_SCORE
from routeiq.learn.formats.folder import Gathered, gather, write
from routeiq.learn.formats.tables import rows

_SHOWN = 3
_CALL_IDS = ("id", "request_id", "litellm_call_id")


def _outcome_log(paths: Sequence[Path]) -> Iterator[Item]:
    for path in paths:
        yield from records.read(_labelled(path), str(path))


def _labelled(path: Path) -> Iterator[Record]:
    """Return what was judged in a SQLite file, or in the PostgreSQL that `os.environ/NAME` stands for."""
    name = str(path)
    if name.startswith("postgres") and ":/" in name:
        raise DataError(
            "an address with a password has no place on a command line, where others see it; put it in an environment "
            "variable and give os.environ/NAME"
        )
    if not name.startswith("os.environ/"):
        return read_labelled(path)
    address = named_address(name)
    try:
        from routeiq.adapters.sql.postgres import read_labelled as read_postgres
    except ImportError:
        raise DataError(f"{name}: PostgreSQL needs an extra; run: pip install 'routeiq-router[postgres]'") from None
    return read_postgres(lambda: address.url)


_FORMATS: Mapping[str, Reader] = {
    "llmrouter": llmrouter.read,
    "routerbench": routerbench.read,
    "litellm-spend-logs": spend_logs.read,
    "litellm-payloads": payloads.read,
    "outcome-log": _outcome_log,
}


def import_outcomes(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Files of that format; several are joined. An outcome log in PostgreSQL is os.environ/NAME, "
            "the variable that has its address."
        ),
    ],
    source: Annotated[str, typer.Option("--from", help=f"One of {', '.join(_FORMATS)}.")],
    output: Annotated[Path, typer.Option(help="Folder to write; it may not hold outcomes yet.")],
    suite: Annotated[str, typer.Option(help="Name the outcomes go by, for `routeiq train --suite`.")] = "imported",
    scores: Annotated[
        Path | None, typer.Option(help="CSV or JSON Lines of `id,score` (0..1), for logs without scores.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="JSON file with every row that was left out, and why.")] = None,
) -> None:
    """Turn recorded outcomes of other tools into a data folder, and say what was left out."""
    if source not in _FORMATS:
        raise DataError(f"--from {source!r} is no format; {nearest(source, _FORMATS)}")
    items, by_call = _FORMATS[source](files), source.startswith("litellm-")
    with working("reading"):
        if scores:
            known, unread = _scores(scores)
            items = _joined(unread, scored(items, known))
        found = gather(items, suite, NO_SCORE if by_call else MISSING)
    if report:
        report.write_text(json.dumps(found.report(), indent=2) + "\n", encoding="utf-8")
    _show(found, output if found.outcomes else None, report)
    write(found, output)


def _scores(path: Path) -> tuple[dict[str, float], list[Skipped]]:
    known: dict[str, float] = {}
    unread: list[Skipped] = []
    for row in rows(path):
        if isinstance(row, Skipped):
            unread.append(row)
            continue
        place, columns = row
        call = next((str(columns[name]) for name in _CALL_IDS if columns.get(name)), "")
        score = number(columns.get("score"))
        if call and score is not None:
            known[call] = score
        else:
            unread.append(Skipped(place, "expected an `id` and a number under `score`"))
    return known, unread


def _joined(first: Sequence[Item], rest: Iterator[Item]) -> Iterator[Item]:
    yield from first
    yield from rest


def _show(found: Gathered, output: Path | None, report: Path | None) -> None:
    console = stdout()
    if output:
        splits = Counter(row["split"] for row in found.prompts)
        counted = ", ".join(f"{splits[name]} {name}" for name in ("train", "valid", "test") if splits[name])
        console.print(
            f"{escape(str(output))}: suite {escape(found.suite)}, {len(found.prompts)} prompts ({counted}), "
            f"{len(found.models)} models, {len(found.outcomes)} outcomes",
            soft_wrap=True,
        )
    if found.merged:
        console.print(f"{len(found.merged)} answers averaged with another of the same prompt and model")
    for reason, count in Counter(item.reason for item in found.skipped).most_common():
        places = [str(item.place) for item in islice((i for i in found.skipped if i.reason == reason), _SHOWN)]
        more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
        console.print(f"left out {count}: {escape(reason)}\n  {escape(', '.join(places))}{more}", soft_wrap=True)
    if len(found.skipped) > _SHOWN and not report:
        console.print("Every row that was left out: --report FILE.")
