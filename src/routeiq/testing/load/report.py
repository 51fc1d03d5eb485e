"""What a load came to: counts by fate, percentiles by team, and any window of it on its own."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from routeiq.testing.load.fate import Fate, Record

PERCENTILES = (50.0, 90.0, 95.0, 99.0)


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the smallest value that at least `percent` of all do not exceed (nearest rank); NaN of none."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(percent / 100.0 * len(ordered)) - 1)]


@dataclass(frozen=True, slots=True)
class Report:
    """The records in the order in which they were due, and the seconds that they cover."""

    records: Sequence[Record]
    seconds: float

    def __len__(self) -> int:
        return len(self.records)

    def of(self, team: str) -> Report:
        """Return what one team sent."""
        return self.where(lambda record: record.team == team)

    def during(self, begin_s: float, end_s: float) -> Report:
        """Return what was due in a window of the load."""
        kept = [record for record in self.records if begin_s <= record.at < end_s]
        return Report(kept, max(0.0, min(end_s, self.seconds) - begin_s))

    def where(self, keep: Callable[[Record], bool]) -> Report:
        """Return the records for which `keep` is true."""
        return Report([record for record in self.records if keep(record)], self.seconds)

    def teams(self) -> list[str]:
        """Return the names of the senders, sorted."""
        return sorted({record.team for record in self.records})

    def count(self, fate: Fate) -> int:
        """Return how many requests ended so."""
        return sum(record.fate is fate for record in self.records)

    def reasons(self, *fates: Fate) -> dict[str, int]:
        """Return how often each reason stands with the fates, most frequent first; all but ok when none is given."""
        wanted = fates or (Fate.REFUSED, Fate.FAILED, Fate.CUT)
        return dict(Counter(record.reason for record in self.records if record.fate in wanted).most_common())

    def latency(self, percent: float) -> float:
        """Return a percentile of the seconds that answered requests took; NaN when none was."""
        return percentile((r.latency_s for r in self.records if r.fate is Fate.OK), percent)

    def ttft(self, percent: float) -> float:
        """Return a percentile of the seconds until an answered request's first byte of content."""
        found = (r.ttft_s for r in self.records if r.fate is Fate.OK)
        return percentile((seconds for seconds in found if seconds is not None), percent)

    def goodput(self) -> float:
        """Return answered requests per second."""
        return self.count(Fate.OK) / self.seconds if self.seconds > 0.0 else 0.0

    def summary(self) -> dict[str, Any]:
        """Return the figures as a dictionary that can be written as JSON; NaN is None."""
        return {
            "seconds": round(self.seconds, 3),
            "sent": len(self),
            **{fate.value: self.count(fate) for fate in Fate},
            "reasons": self.reasons(),
            "goodput_per_s": round(self.goodput(), 2),
            "latency_s": {f"p{p:g}": _number(self.latency(p)) for p in PERCENTILES},
            "ttft_s": {f"p{p:g}": _number(self.ttft(p)) for p in PERCENTILES},
            "late_s_p99": _number(percentile((r.late_s for r in self.records), 99.0)),
        }

    def text(self) -> str:
        """Return the figures as lines for a terminal, one for each team and one for all."""
        lines = [
            f"{'team':14}{'sent':>7}{'ok':>7}{'refused':>9}{'failed':>8}{'cut':>6}{'ok/s':>8}  latency p50 p95 p99"
        ]
        for team in [*self.teams(), ""]:
            part = self.of(team) if team else self
            counts = [part.count(fate) for fate in (Fate.OK, Fate.REFUSED, Fate.FAILED, Fate.CUT)]
            took = " ".join(f"{part.latency(p):.3f}" for p in (50.0, 95.0, 99.0))
            lines.append(
                f"{(team or 'all')[:13]:14}{len(part):7d}{counts[0]:7d}{counts[1]:9d}{counts[2]:8d}{counts[3]:6d}"
                f"{part.goodput():8.1f}  {took} s"
            )
        found = self.reasons()
        if found:
            lines.append("reasons: " + ", ".join(f"{reason} {count}" for reason, count in found.items()))
        return "\n".join(lines)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
