"""An exporter of spans that is exchanged while spans are sent, because its credentials are others.

Owns that no batch is lost by the exchange: it takes place between two batches, in the thread that sends them.
"""

import threading
from collections.abc import Callable, Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult


class RenewedExporter(SpanExporter):
    """Exports by what `make` returns, which reads the environment when it is called, as OTLP's exporter does."""

    def __init__(self, make: Callable[[], SpanExporter]) -> None:
        self._make = make
        self._exporter = make()
        self._old = threading.Event()

    def renew(self) -> None:
        """Have the next batch sent by a new exporter; from any thread, at once."""
        self._old.set()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch."""
        if self._old.is_set():
            self._old.clear()
            former, self._exporter = self._exporter, self._make()
            former.shutdown()
        return self._exporter.export(spans)

    def shutdown(self) -> None:
        """Let go of connections."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return whether everything was sent that was handed in."""
        return self._exporter.force_flush(timeout_millis)
