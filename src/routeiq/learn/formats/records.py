"""RouteIQ's own outcome log: decisions with what came of them, as an iterator of records.

Owns which of them can be trained on. Opening the log is the business of an adapter. A record without the prompt's text
(the default: only a digest and an embedding are kept) cannot stand in a data folder, which holds text.
"""

from collections.abc import Iterable, Iterator

from routeiq.core.decision import Reason
from routeiq.core.outcome import Status
from routeiq.core.remembered import Record, whose
from routeiq.learn.formats.answers import Answer, Item, Place, Skipped

NO_TEXT = "the log holds no text of this prompt; set `store_prompts` before the traffic you want to use"


def read(records: Iterable[Record], source: str) -> Iterator[Item]:
    """Yield an answer per record; row n is the n-th record of `source`."""
    for at, record in enumerate(records, start=1):
        yield _answer(Place(source, at), record)


def _answer(place: Place, record: Record) -> Item:
    outcome, prompt = record.outcome, record.prompt
    if record.decision.reason is Reason.COMPOUND:
        return Skipped(place, "a compound model's answer: several calls had a part in it, so it is not one model's")
    if prompt.text is None:
        return Skipped(place, NO_TEXT)
    if outcome is None:
        return Skipped(place, "the end of this request was lost, so it is not known which model answered")
    if outcome.status is not Status.SUCCESS:
        return Skipped(place, f"the request ended as {outcome.status.value}: the model did not answer")
    if whose(record.decision, outcome) is None:
        return Skipped(place, "the gateway's cache answered, so it is not known which model's answer it was")
    if record.score is None:
        return Skipped(place, "has comparisons only; a data folder holds scores")
    return Answer(
        place=place,
        prompt=prompt.text,
        model=outcome.model or record.decision.choice,
        score=record.score,
        category=record.decision.alias,
        call=(record.decision.id,),
        cost_usd=None if outcome.cached else outcome.cost_usd,
        input_tokens=float(outcome.usage.input_tokens) or None,
        output_tokens=float(outcome.usage.output_tokens),
        latency_s=None if outcome.cached else outcome.latency_s,
    )
