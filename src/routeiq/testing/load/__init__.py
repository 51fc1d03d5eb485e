"""An open-loop load generator: requests leave when they are due, whatever became of those before.

It sends chat completions, streamed and plain, of several teams at rates of their own, writes down the fate of every
single one, and never leaves this machine.
"""

from routeiq.testing.load.drive import Load
from routeiq.testing.load.fate import Fate, Record
from routeiq.testing.load.plan import Plan, Sender, Shot, shots
from routeiq.testing.load.report import Report

__all__ = ["Fate", "Load", "Plan", "Record", "Report", "Sender", "Shot", "shots"]
