"""The operator's commands: ``./run flask NAME``, each with ``--help``."""

from __future__ import annotations

import click
from flask import Flask, current_app
from flask.cli import AppGroup
from flask_migrate import upgrade

from webapp import clock
from webapp.domain.addresses import AddressError
from webapp.services import admins
from webapp.services.errors import SignUpRefused

admin = AppGroup("admin", help="Admins of the portal.")


def init_app(app: Flask) -> None:
    app.cli.add_command(admin)
    app.cli.add_command(prepare)


@admin.command("create")
@click.argument("email")
def create_admin(email: str) -> None:
    """Make the person at EMAIL an admin, and print a one-time set-up link if they have no active account yet."""
    try:
        link = admins.create(email, clock.now(), current_app.config["POLICY"])
    except (AddressError, SignUpRefused) as error:
        raise click.ClickException(str(error)) from error
    if link:
        click.echo(f"Set up the account at {link}")
    else:
        click.echo(f"{email} is an admin now. They sign in as before.")


@click.command()
def prepare() -> None:
    """Bring the database up to date and, in development, see to a first admin. `./run` calls it before it serves."""
    upgrade()
    if not current_app.config["SETTINGS"].is_development:
        return
    email = "admin@tech.gov.sg"
    link = admins.first(email, clock.now(), current_app.config["POLICY"])
    if link:
        click.echo(f"First admin: {email}. Set up the account at {link}")
    else:
        click.echo(f"Admin: sign in as {email}. The code arrives in /dev/inbox.")
