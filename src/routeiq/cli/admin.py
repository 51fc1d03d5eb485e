"""The group `routeiq admin`: commands of those who run a gateway, one module for each concern."""

import typer

from routeiq.cli.audit import add_to as add_audit
from routeiq.cli.champion import add_to as add_champion
from routeiq.cli.experiment import add_to as add_experiment
from routeiq.cli.restart import add_to as add_restart
from routeiq.cli.rollback import add_to as add_rollback
from routeiq.cli.signing import add_to as add_signing
from routeiq.cli.status import add_to as add_status
from routeiq.cli.strategy import add_to as add_strategy


def group() -> typer.Typer:
    """Return the group with all its commands."""
    admin = typer.Typer(help="Keys and signatures, and what is changed on a running gateway.", no_args_is_help=True)
    add_signing(admin)
    add_audit(admin)
    add_champion(admin)
    add_experiment(admin)
    add_rollback(admin)
    add_strategy(admin)
    add_status(admin)
    add_restart(admin)
    return admin
