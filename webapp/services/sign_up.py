"""Sign up: an address and whether SEED is wanted become an account that waits for approval (section 1 of the rules)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from webapp import emails, queue
from webapp.domain.addresses import Address, Standing, Verdict, judge, parse
from webapp.domain.lifecycle import (
    LIVE,
    AccountStatus,
    AccountType,
    InvitationKind,
    InvitationState,
    RequestKind,
    SeedStatus,
)
from webapp.domain.tokens import RECEIPT, derive_token, new_nonce, token_hash
from webapp.extensions import db
from webapp.models import Account, Invitation, Request
from webapp.models.base import insert_row
from webapp.services import agencies, audit, expiry, outbox, robot_check
from webapp.services.errors import SeedAnswerMissing, SignUpRefused
from webapp.services.keys import secret_key

if TYPE_CHECKING:
    from datetime import datetime

    from webapp.services.agencies import AgencyFacts


def check(text: str) -> Verdict:
    """What form and domain say of an address. Raises `AddressError` (rules 1.1 to 1.7)."""
    address = parse(text)
    return judge(address, agencies.find(address.domain))


def sign_up(text: str, wants_seed: bool | None, solution: str, by: audit.By, now: datetime) -> None:
    """Take a request for TechPass, and for SEED if wanted.

    ``wants_seed`` is None where the question does not apply. Whoever has an account or an open request already gets a
    mail instead, and the caller cannot tell the difference (rules 1.8 and 1.9).

    Raises `AddressError`, `SignUpRefused`, `SeedAnswerMissing` or `RobotCheckFailed`; then nothing is asked for.
    """
    address = parse(text)
    agency = agencies.find(address.domain)
    verdict = judge(address, agency)
    if agency is None or not verdict.may_sign_up:
        if verdict.standing is Standing.UNKNOWN_AGENCY:
            # The robot check pays for the count.
            robot_check.use(solution, now)
            agencies.count_unknown(address.domain, now)
            db.session.commit()
        raise SignUpRefused(verdict.message)
    seed = _seed_status(verdict, wants_seed)
    try:
        _request(address, agency, seed, solution, by, now)
    except IntegrityError:
        # The same address signed up at the same instant and was first; now it is there to be found. Or the agency was
        # deleted a moment ago: then it is not there any more.
        db.session.rollback()
        agencies.forget()
        agency = agencies.find(address.domain)
        if agency is None:
            raise SignUpRefused(judge(address, None).message) from None
        _request(address, agency, seed, solution, by, now)


def _seed_status(verdict: Verdict, wants_seed: bool | None) -> SeedStatus:
    if not verdict.seed_offered:
        return SeedStatus.INELIGIBLE
    if wants_seed is None:
        raise SeedAnswerMissing
    return SeedStatus.REQUESTED if wants_seed else SeedStatus.NOT_REQUIRED


def _request(
    address: Address, agency: AgencyFacts, seed: SeedStatus, solution: str, by: audit.By, now: datetime
) -> None:
    robot_check.use(solution, now)
    # One query of few columns: what is done for some people alone would tell them apart (`./run bench neutral`).
    found = db.session.execute(
        select(Account.id, Account.email, Account.status, Account.under_investigation, Invitation.expires_at)
        .outerjoin(
            Invitation,
            (Invitation.account_id == Account.id)
            & (Invitation.kind == InvitationKind.TECHPASS)
            & (Invitation.state == InvitationState.LIVE),
        )
        .where(Account.email_folded == address.folded, Account.status.in_(LIVE))
    ).first()
    holder = Account(id=found.id, email=found.email) if found else None
    overdue = found is not None and expiry.has_run_out(found.status, found.expires_at, now)
    # On hold it does not end, and counts as the account that there is: see `expiry.end_if_overdue`.
    if found and overdue and not found.under_investigation:
        ended = expiry.end_if_overdue(db.session.get_one(Account, found.id), now)
        holder = None if ended else holder  # It may sign up again at once (rule 3.5) though the sweep has not come yet.

    # For an address that is known the same rows are written and then taken back, so that the answer takes as long.
    attempt = db.session.begin_nested()
    account = _insert(address, agency, seed, known=holder is not None, now=now)
    if holder is None:
        attempt.commit()
        outbox.post(emails.request_received(account, now))
        audit.record("sign_up.requested", account.id, by, now, seed=seed == SeedStatus.REQUESTED)
    else:
        attempt.rollback()
        outbox.post(emails.already_have_account(holder, now))
        audit.record("sign_up.repeated", holder.id, by, now)
    if agency.approves_automatically:
        queue.wake_after_commit(db.session, "approve")
    db.session.commit()


def _insert(address: Address, agency: AgencyFacts, seed: SeedStatus, *, known: bool, now: datetime) -> Account:
    nonce = new_nonce()
    values = {
        "email": address.typed,
        "email_folded": address.folded,
        "agency_id": agency.id,
        "account_type": AccountType.VENDOR if address.is_vendor else AccountType.OFFICER,
        # A row that is only there to be taken back must not meet the index that forbids a second live account.
        "status": AccountStatus.REJECTED if known else AccountStatus.REQUESTED,
        "created_at": now,
        "status_at": now,
        "changed_at": now,
        "receipt_nonce": nonce,
        "receipt_hash": token_hash(derive_token(secret_key(), RECEIPT, nonce)),
        "seed_status": seed,
        "seed_status_at": now,
    }
    account_id = db.session.scalar(insert_row(Account).values(values).returning(Account.id))
    kinds = [RequestKind.TECHPASS, *([RequestKind.SEED] if seed is SeedStatus.REQUESTED else [])]
    db.session.execute(
        insert_row(Request), [{"account_id": account_id, "kind": kind, "requested_at": now} for kind in kinds]
    )
    return Account(id=account_id, **values)
