"""The operator's commands: ``./run flask NAME``, each with ``--help``."""

from __future__ import annotations

from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

import click
from flask import Flask, current_app
from flask.cli import AppGroup
from flask_migrate import upgrade

from webapp import clock
from webapp.domain.addresses import AddressError
from webapp.domain.business_days import singapore_date
from webapp.formatting import sg_day
from webapp.services import accounts, admins, audit_chain, failed_mails, forecast, holidays, rehearsal, sweep
from webapp.services.audit import SYSTEM
from webapp.services.errors import DayTaken, NameRefused, NotFound, ReasonMissing, SignUpRefused

if TYPE_CHECKING:
    from webapp.domain.policy import Policy

NAMES_SHOWN = 20
"""Of each kind, in `sweep --dry-run`."""

admin = AppGroup("admin", help="Admins of the portal.")
account = AppGroup("account", help="People's accounts.")
mail = AppGroup("mail", help="The outgoing mails.")
holiday = AppGroup("holiday", help="Days off: SEED is promised in business days.")
audit = AppGroup("audit", help="The record of all that happened, and its seal.")

DAY = click.DateTime(formats=["%Y-%m-%d"])


def init_app(app: Flask) -> None:
    app.cli.add_command(admin)
    app.cli.add_command(account)
    app.cli.add_command(mail)
    app.cli.add_command(holiday)
    app.cli.add_command(audit)
    app.cli.add_command(prepare)
    app.cli.add_command(run_sweep)
    app.cli.add_command(demo)


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


@admin.command("reset-authenticator")
@click.argument("email")
@click.option("--reason", required=True, help="Goes on record for good, so it must name nobody.")
def reset_authenticator(email: str, reason: str) -> None:
    """Take away the authenticator and recovery codes of EMAIL, and mail them a link to set up new ones."""
    try:
        admins.reset_authenticator(email, reason, clock.now(), current_app.config["POLICY"])
    except (AddressError, ReasonMissing) as error:
        raise click.ClickException(str(error) or "Give a reason.") from error
    except NotFound as error:
        raise click.ClickException(f"Nobody with the address {email} has an account to sign in to.") from error
    click.echo(f"Done. {email} is signed out everywhere; the link is on its way by mail.")


@account.command("lock")
@click.argument("email")
@click.option("--reason", required=True, help="Goes on record for good, so it must name nobody.")
def lock_account(email: str, reason: str) -> None:
    """Lock the active account of EMAIL until it is enabled: signed out everywhere, SEED suspended, holder mailed."""
    try:
        accounts.lock(accounts.by_address(email), reason, SYSTEM, clock.now(), current_app.config["POLICY"])
    except (AddressError, ReasonMissing) as error:
        raise click.ClickException(str(error) or "Give a reason.") from error
    except NotFound as error:
        raise click.ClickException(f"Nobody with the address {email} has an active account.") from error
    click.echo(f"Done. {email} is locked and signed out everywhere. See `account enable`.")


@account.command("enable")
@click.argument("email")
@click.option("--reason", required=True, help="Goes on record for good, so it must name nobody.")
def enable_account(email: str, reason: str) -> None:
    """Enable the disabled or locked account of EMAIL. Its holder is mailed, and has some days to log in once."""
    policy = current_app.config["POLICY"]
    try:
        accounts.enable(accounts.by_address(email), reason, SYSTEM, clock.now(), policy)
    except (AddressError, ReasonMissing) as error:
        raise click.ClickException(str(error) or "Give a reason.") from error
    except NotFound as error:
        raise click.ClickException(f"Nobody with the address {email} has a disabled account.") from error
    click.echo(f"Done. {email} must log in once within {policy.enabled_sign_in_days} days.")


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


@click.command("sweep")
@click.option("--dry-run", is_flag=True, help="Only print what would happen to whom. Changes nothing.")
@click.option("--all", "show_all", is_flag=True, help="With --dry-run: every name, not the first few of each kind.")
@click.option("--confirm", is_flag=True, help="Go on with a sweep that stopped because it is far larger than usual.")
@click.option("--at", type=DAY, metavar="DAY", help="With --dry-run: as it would run at the end of DAY in Singapore.")
def run_sweep(dry_run: bool, show_all: bool, confirm: bool, at: datetime | None) -> None:
    """Do now what falls due by the clock: expiry, reminders, inactivity, deletion. Cron does it every minute."""
    now, policy = clock.now(), current_app.config["POLICY"]
    if dry_run:
        days = forecast.days_from(now)
        if at is not None and at.date() not in days:
            raise click.UsageError(f"--at takes a day from {days[0]} to {days[-1]}.")
        _rehearse(now if at is None else forecast.end_of(at.date()), policy, show_all)
        return
    if at is not None:
        raise click.UsageError("--at goes with --dry-run: no sweep can be run ahead of time.")
    summary = sweep.sweep(now, policy, confirmed=confirm)
    for what, count in summary.done.items():
        click.echo(f"{what}: {count}")
    for part, count in summary.held.items():
        click.echo(f"{part}: held. It would end {count} accounts. See --dry-run, then use --confirm.")
    if summary.failed:
        raise click.ClickException(f"These parts failed; the log says why: {', '.join(summary.failed)}")


def _rehearse(now: datetime, policy: Policy, show_all: bool) -> None:
    what = None
    for what, planned in groupby(rehearsal.rehearse(now, policy), key=lambda item: item.what):
        click.echo(f"{what}:")
        count = 0
        for count, item in enumerate(planned, 1):
            if show_all or count <= NAMES_SHOWN:
                mail = item.letter["kind"] if item.letter else "no mail"
                click.echo(f"  {item.account.email} ({mail})")
        click.echo(f"  {count} in all")
    if what is None:
        click.echo("Nothing falls due.")


@click.command()
def demo() -> None:
    """Fill an empty development portal with six weeks of sample data. `./run demo` does it."""
    from webapp.dev import demo as sample

    try:
        people = sample.fill(clock.now(), current_app.config["POLICY"])
    except sample.DemoRefused as error:
        raise click.ClickException(str(error)) from error
    if people:
        click.echo(f"Sample data: {people} people of the last six weeks, and the mails of the last day.")
    else:
        click.echo("Sample data: there since an earlier start.")
    found = sample.log_ins()
    if found:
        click.echo("To look at it all, log in as one of them. The mailed code is in /dev/inbox; /dev/authenticator")
        click.echo("shows the other one for the key:")
    for email, role, key in found:
        click.echo(f"  {email}  {role}  {' '.join(key[at : at + 4] for at in range(0, len(key), 4))}")


@mail.command("failed")
def list_failed_mails() -> None:
    """The mails that could not be sent, each with the last answer of the mail server."""
    rows = failed_mails.failed()
    for row in rows:
        click.echo(f"{row.id}  {row.kind}  {row.recipient}  {row.last_answer}")
    if not rows:
        click.echo("No mail has failed.")


@mail.command("retry")
@click.argument("number", type=int, required=False)
def retry_mails(number: int | None) -> None:
    """Send failed mails again: the one with NUMBER (see `mail failed`), or all of them.

    Of several reminders to one person the newest alone is sent.
    """
    try:
        done = failed_mails.retry(clock.now(), SYSTEM, number)
    except NotFound:
        raise click.ClickException(f"Mail {number} has not failed.") from None
    older = f" {done.taken_back} older of the same kinds taken back." if done.taken_back else ""
    click.echo(f"{done.queued} queued again.{older}")


@holiday.command("list")
@click.argument("year", type=click.IntRange(1, 9999), required=False)
def list_holidays(year: int | None) -> None:
    """The days off of YEAR, this year unless given: the public holidays and the own ones."""
    year = year or singapore_date(clock.now()).year
    rows = holidays.listed(year)
    for row in rows:
        mark = "  (own)" if row.is_own else "  (estimate)" if row.is_estimate else ""
        click.echo(f"{row.day}  {row.day:%a}  {row.name}{mark}")
    if not rows:
        click.echo(f"No days off are known for {year}.")


@holiday.command("add")
@click.argument("day", type=DAY, metavar="DAY")
@click.argument("name")
def add_holiday(day: datetime, name: str) -> None:
    """Make DAY (like 2026-12-24) a day off, beside the public holidays. Promises already made stay."""
    try:
        holidays.add(day.date(), name, SYSTEM, clock.now())
    except DayTaken:
        raise click.ClickException(f"{sg_day(day)} is on your own list already.") from None
    except NameRefused:
        raise click.ClickException(f"Give it a name of at most {holidays.LONGEST_NAME} characters.") from None
    click.echo(f"{sg_day(day)} is a day off now.")


@holiday.command("remove")
@click.argument("day", type=DAY, metavar="DAY")
def remove_holiday(day: datetime) -> None:
    """Make DAY, which was added, a business day again. Promises already made stay."""
    try:
        holidays.remove(day.date(), SYSTEM, clock.now())
    except NotFound:
        raise click.ClickException(f"{sg_day(day)} is not on your own list. See `holiday list`.") from None
    click.echo(f"{sg_day(day)} is off your own list now.")


@audit.command("verify")
@click.option("--head", "known", metavar="POSITION:HASH", help="A head that you kept, as the log tells it.")
def verify_audit(known: str | None) -> None:
    """Read the sealed record from its beginning, and name each event that was changed, removed, moved or put in."""
    try:
        head = audit_chain.Head.read(known) if known else None
    except ValueError:
        raise click.UsageError("Give the head as POSITION:HASH.") from None
    done = audit_chain.verify(clock.now(), head, click.echo)
    if done.findings:
        raise click.ClickException(f"{done.findings} finding{'' if done.findings == 1 else 's'}. Head {done.head}")
    click.echo(f"{done.count} events are sealed and unbroken; head {done.head}")
