"""The command line loads what the command needs."""

import subprocess
import sys

from routeiq.cli.app import application
from routeiq.cli.output import Reporter


def names(only: str | None) -> list[str]:
    app = application(Reporter(), only)
    return [*(str(command.name) for command in app.registered_commands), *(str(g.name) for g in app.registered_groups)]


def test_one_command_is_enough() -> None:
    """With the name of a command or a group there is nothing else."""
    assert names("serve") == ["serve"]
    assert names("admin") == ["admin"]


def test_everything_is_there_where_no_command_is_known() -> None:
    """For help, for completion, and for a name that is a mistake and gets the nearest known one."""
    assert len(names(None)) == len(names("sreve")) > 12


def test_a_gateway_holds_no_training() -> None:
    """The command that serves loads no family's training, no plots and no formats of outcomes."""
    code = (
        "import sys; from routeiq.cli.app import application; from routeiq.cli.output import Reporter\n"
        "application(Reporter(), 'serve')\n"
        "print(*sorted(name for name in sys.modules if name.startswith('routeiq.learn')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = done.stdout.split()
    assert not {"routeiq.learn.auto", "routeiq.learn.comparison", "routeiq.learn.plot"} & set(loaded), loaded
