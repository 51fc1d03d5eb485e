"""`routeiq admin audit`: who changed what on a running gateway, and whether the files that say so are as written."""

import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from rich.markup import escape

from routeiq.cli.asking import LOCAL, Url, ask
from routeiq.cli.options import AsJson, Config
from routeiq.cli.output import stdout, warn
from routeiq.config.load import load
from routeiq.core.errors import ConfigError, RequestInvalid

PATH = "/routeiq/audit"
AT_ONCE = 1_000

_AGO = re.compile(r"(\d{1,9})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def add_to(admin: typer.Typer) -> None:
    """Put the command into the group `routeiq admin`."""
    admin.command(epilog="Example: routeiq admin audit --since 24h --kind strategy.changed")(audit)


def audit(
    since: Annotated[
        str | None, typer.Option(help="Since when: `90s`, `15m`, `24h` or `7d` ago, or a time with its zone.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Only events of this kind, for example `access.refused`.")] = None,
    actor: Annotated[
        str | None, typer.Option(help="Only what this actor did: as events show it, or LiteLLM's hash of the key.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many events, the newest first.")] = 100,
    verify: Annotated[
        bool, typer.Option("--verify", help="Recompute the chain of the files on this machine instead.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="Write the whole chain of the files on this machine to this new file, JSON lines, instead."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Folder to verify or write. Default: the one that the configuration names.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="File to verify that --output has written, anywhere.")] = None,
    head: Annotated[
        str | None, typer.Option(help="Hash of a line that must be in the chain: one that was noted elsewhere before.")
    ] = None,
    config: Config = None,
    url: Url = LOCAL,
    as_json: AsJson = False,
) -> None:
    """Show who changed what and who was refused, or verify that nothing in the files was changed since.

    With --output the files are copied to one, which --verify --file checks wherever it is taken.
    """
    if verify and output is not None:
        raise RequestInvalid("--output verifies what it writes; leave --verify out, or --output")
    if file is not None and (folder is not None or not verify):
        raise RequestInvalid("--file is for --verify, in the place of a --folder")
    if verify:
        _verify(file, folder or file or _folder(config), head, as_json)
        return
    if output is not None:
        if any(said is not None for said in (since, kind, actor, head)):
            raise RequestInvalid("--output writes the whole chain, which holds only as a whole; choose from the file")
        _export(folder or _folder(config), output, as_json)
        return
    if folder is not None or head is not None:
        raise RequestInvalid("--folder and --head are for --verify; without it the gateway at --url is asked")
    found = _ask(url, {"since": _moment(since), "kind": kind, "actor": actor}, limit)
    if as_json:
        print(json.dumps(found))
    else:
        _show(found)


def _export(folder: Path, output: Path, as_json: bool) -> None:
    from routeiq.adapters.files.audit_lines import export

    found = export(folder, output)
    if as_json:
        print(json.dumps({"output": str(output), **found.form()}))
        return
    lines = "1 line" if found.lines == 1 else f"{found.lines} lines"
    said = f"{output}: {lines} of a chain that holds; line {found.last.seq} has hash {found.last.hash}"
    stdout().print(escape(said), soft_wrap=True)


def _verify(file: Path | None, folder: Path, head: str | None, as_json: bool) -> None:
    from routeiq.adapters.files.audit_lines import verify as verified
    from routeiq.adapters.files.audit_lines import verify_file

    found = verified(folder, head) if file is None else verify_file(file, head)
    if as_json:
        print(json.dumps(found.form()))
        return
    lines = "1 line" if found.lines == 1 else f"{found.lines} lines"
    lines += f" in {found.files} files" if found.files > 1 else ""
    since = "" if found.first == 1 else f" (from line {found.first}; what was before was kept long enough)"
    stdout().print(f"the chain holds: {lines}{since}; line {found.last.seq} has hash {found.last.hash}", soft_wrap=True)


def _folder(config: Path | None) -> Path:
    settings = load(config)
    if settings.audit is None:
        raise ConfigError(f"{settings.where('audit', 'path')}: this configuration keeps no audit; name a --folder")
    return settings.audit


def _moment(since: str | None) -> str | None:
    """Return a moment as the gateway takes it."""
    if since is None:
        return None
    ago = _AGO.fullmatch(since)
    return since if ago is None else str(time.time() - int(ago[1]) * _SECONDS[ago[2]])


def _ask(url: str, wanted: dict[str, str | None], limit: int) -> Any:
    """Return the gateway's answer with so many events, of as many questions as that takes."""
    asked = {name: value for name, value in wanted.items() if value is not None}
    events: list[Any] = []
    cursor: str | None = None
    while True:
        more = {"limit": str(min(AT_ONCE, limit - len(events))), **({} if cursor is None else {"cursor": cursor})}
        found = ask(url, "GET", f"{PATH}?{urlencode({**asked, **more})}")
        events += found["events"]
        cursor = found["next"]
        if cursor is None or len(events) >= limit:
            return {**found, "events": events}


def _show(found: Any) -> None:
    for event in found["events"]:
        stdout().print(escape(_line(event)), soft_wrap=True)
    warn(_warnings(found))


def _line(event: Any) -> str:
    """Return an event on one line: when, what, of what, how it ended, by whom, in which request."""
    at = datetime.fromtimestamp(event["at"], UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    values = [value for value in (event["before"], event["after"]) if value is not None]
    changed = f" ({' -> '.join(values)})" if values else ""
    result = event["result"] if event["reason"] is None else f"{event['result']}: {event['reason']}"
    request = "" if event["request_id"] is None else f", request {event['request_id']}"
    return f"{at} {event['kind']} {event['subject']}{changed} {result}, by {event['actor']}{request}"


def _warnings(found: Any) -> list[str]:
    said = []
    if found["trouble"] is not None:
        said.append(f"the audit of the worker that answered cannot be written now: {found['trouble']}")
    if not found["others_heard"]:
        said.append("shared state does not answer; only events of the host that answered are shown")
    partly = [chain["chain"] for chain in found["chains"] if not chain["complete"]]
    if partly:
        said.append(f"older events of other hosts are in their own files only (chains {', '.join(partly)})")
    return said
