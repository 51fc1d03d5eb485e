"""`python -m routeiq.testing.load`: put a load on a gateway of this machine and print what became of it."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence

from routeiq.testing.load.drive import Load
from routeiq.testing.load.fate import Fate
from routeiq.testing.load.plan import Plan, Sender
from routeiq.testing.load.report import Report


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m routeiq.testing.load",
        description="Send chat completions to a gateway of this machine, in an open loop, and count their fates.",
        epilog="The exit status is 1 when a request failed or was cut; refused ones are not failures.",
    )
    parser.add_argument("--url", default="http://127.0.0.1:4000", help="root of the gateway, on this machine")
    parser.add_argument(
        "--sender",
        action="append",
        required=True,
        metavar="TEAM=KEY@RATE",
        help="a team's name, its key and its requests per second; may be given several times",
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to send")
    parser.add_argument("--limit", type=int, default=20_000, help="the most requests to send")
    parser.add_argument("--streamed", type=float, default=0.5, help="share of streamed requests, 0 to 1")
    parser.add_argument("--model", default="auto", help="the model to name")
    parser.add_argument("--arrivals", choices=("poisson", "constant"), default="poisson")
    parser.add_argument("--seed", type=int, default=0, help="fixes the arrival times")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, by team")
    return parser


def _sender(text: str, given: argparse.Namespace) -> Sender:
    team, equals, rest = text.partition("=")
    key, at, rate = rest.rpartition("@")
    if not (team and equals and key and at):
        raise ValueError(f"--sender {team}=...: expected TEAM=KEY@RATE")
    try:
        per_second = float(rate)
    except ValueError:
        raise ValueError(f"--sender {team}=...@{rate}: expected a number of requests per second") from None
    return Sender(team, key, per_second, given.streamed, given.arrivals, given.model)


async def _run(plan: Plan, url: str) -> Report:
    load = Load(plan, url)
    load.start()
    return await load.finish()


def main(argv: Sequence[str] | None = None) -> int:
    """Run a load; returns the exit status."""
    parser = _parser()
    given = parser.parse_args(argv)
    try:
        plan = Plan([_sender(text, given) for text in given.sender], given.seconds, given.limit, given.seed)
        report = asyncio.run(_run(plan, given.url))
    except ValueError as error:
        parser.error(str(error))
    if given.json:
        figures = {"all": report.summary(), "teams": {team: report.of(team).summary() for team in report.teams()}}
        sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    else:
        sys.stdout.write(report.text() + "\n")
    return int(report.count(Fate.FAILED) + report.count(Fate.CUT) > 0)


if __name__ == "__main__":
    raise SystemExit(main())
