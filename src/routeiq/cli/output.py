"""What commands write to the terminal. Results go to standard output; errors, warnings and progress to the other."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from routeiq.core.errors import ArtifactError, ConfigError, DataError, RequestInvalid, RouteIQError

_THEIRS = (ConfigError, ArtifactError, DataError, RequestInvalid)


def stdout() -> Console:
    """Return the console that results are written to."""
    return Console(highlight=False)


def stderr() -> Console:
    """Return the console that everything else is written to; long lines are left to the terminal."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


@dataclass
class Reporter:
    """Turns an error into a message. `debug` adds the traceback."""

    debug: bool = False

    def report(self, error: Exception) -> int:
        """Write `error[reason]: message` and return the exit status: 2 for what the person can mend, else 1."""
        console = stderr()
        if self.debug:
            console.print_exception()
        reason = error.reason if isinstance(error, RouteIQError) else "internal"
        message = error.message if isinstance(error, RouteIQError) else f"{type(error).__name__}: {error}"
        console.print(f"[bold red]error\\[{reason}]:[/] {escape(message)}")
        if reason == "internal" and not self.debug:
            console.print("[dim]This should not happen. `routeiq --debug ...` shows where it did.[/]")
        return 2 if isinstance(error, _THEIRS) else 1


def warn(messages: Iterable[str]) -> None:
    """Write warnings."""
    console = stderr()
    for message in messages:
        console.print(f"[bold yellow]warning:[/] {escape(message)}")


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show that something is under way whose end cannot be foretold."""
    with stderr().status(what):
        yield


def progress() -> Progress:
    """Return a progress bar that disappears from the terminal's end when done."""
    return Progress(console=stderr(), transient=True)
