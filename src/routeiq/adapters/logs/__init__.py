"""JSON log lines on a stream: one object a line, without prompts and without secrets."""

from routeiq.adapters.logs.decisions import LogTelemetry
from routeiq.adapters.logs.json_lines import FIELDS, JsonLogging, LineHandler
from routeiq.adapters.logs.prints import PrintedLines

__all__ = ["FIELDS", "JsonLogging", "LineHandler", "LogTelemetry", "PrintedLines"]
