"""The command line: one module per command, thin over the rest."""

import sys

_NEEDED = frozenset({"typer", "rich", "pydantic", "pydantic_settings", "yaml"})


def main() -> int:
    """Run the command line on the arguments of this process; returns the exit status."""
    try:
        from routeiq.cli.app import run

        return run()
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing not in _NEEDED:
            raise
        print(f"routeiq: the command line needs {missing}; run: pip install 'routeiq-router[cli]'", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # while a command is being loaded; one that runs has said so itself
        return 130
