"""What officers change in their own profile: name, mobile number, department (rule 6.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webapp import emails
from webapp.extensions import db
from webapp.services import audit, outbox
from webapp.services.held import hold_active

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

EDITABLE = ("first_name", "last_name", "mobile", "department")


def change(
    account_id: int,
    wanted: Mapping[str, str | None],
    by: audit.By,
    now: datetime,
    shown: Mapping[str, str | None] | None = None,
) -> tuple[str, ...]:
    """Keep what is ``wanted`` of `EDITABLE`; the names of what changed. Nothing is written where nothing did.

    ``shown`` is what the form held before: a field that was left as it was shown is left as it is, so that an older
    tab undoes nothing.

    The record and the mail name the fields and never what is in them. Raises `SessionOver` unless the account is
    active.
    """
    # The row is locked, so that pressing twice tells of one change.
    account = hold_active(account_id)
    edited = [name for name in EDITABLE if name in wanted and (shown is None or wanted[name] != shown.get(name))]
    changed = tuple(name for name in edited if wanted[name] != getattr(account, name))
    if not changed:
        db.session.rollback()
        return ()
    for name in changed:
        setattr(account, name, wanted[name])
    account.changed_at = now
    outbox.post(emails.profile_changed(account, changed, now))
    audit.record("profile.changed", account.id, by, now, fields=list(changed))
    db.session.commit()
    return changed
