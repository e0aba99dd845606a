"""Who may use which route: the declared table, and what everybody else gets (promise 6)."""

from __future__ import annotations

import contextlib
import re
from html import unescape
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from sqlalchemy import func, select
from werkzeug.exceptions import HTTPException

from webapp.access import Audience, audience_of
from webapp.extensions import db
from webapp.models import Account, AuditEvent, Invitation, Mail, Request

TABLE = {
    "static": Audience.PUBLIC,
    "home.index": Audience.PUBLIC,
    "sign_up.sign_up": Audience.PUBLIC,
    "sign_up.submit": Audience.PUBLIC,
    "sign_up.check": Audience.PUBLIC,
    "sign_up.received": Audience.PUBLIC,
    "sign_up.challenge": Audience.PUBLIC,
    "receipts.receipt": Audience.PUBLIC,
    "receipts.resend": Audience.PUBLIC,
    "receipts.answer": Audience.PUBLIC,
    "receipts.deadline": Audience.PUBLIC,
    "invite_batch.index": Audience.INVITER,
    "invite_batch.upload": Audience.INVITER,
    "invite_batch.template": Audience.INVITER,
    "invite_batch.batch": Audience.INVITER,
    "invite_batch.row": Audience.INVITER,
    "invite_batch.edit": Audience.INVITER,
    "invite_batch.change": Audience.INVITER,
    "invite_batch.remove": Audience.INVITER,
    "invite_batch.ask_reset": Audience.INVITER,
    "invite_batch.reset": Audience.INVITER,
    "invite_batch.use_suggestions": Audience.INVITER,
    "invite_batch.send": Audience.INVITER,
    "invite_batch.result": Audience.INVITER,
    "invite.invite": Audience.INVITER,
    "invite.ask": Audience.INVITER,
    "invite.check": Audience.INVITER,
    "invite.sent": Audience.INVITER,
    "invite.resend": Audience.INVITER,
    "registration.registration": Audience.PUBLIC,
    "registration.register": Audience.PUBLIC,
    "registration.received": Audience.PUBLIC,
    "registration.deadline": Audience.PUBLIC,
    "invitations.invitation": Audience.PUBLIC,
    "invitations.accept": Audience.PUBLIC,
    "invitations.resend": Audience.PUBLIC,
    "invitations.deadline": Audience.PUBLIC,
    "onboarding.permissions": Audience.ONBOARDING,
    "onboarding.authenticator": Audience.ONBOARDING,
    "onboarding.recovery_codes": Audience.ONBOARDING,
    "onboarding.recovery_codes_file": Audience.ONBOARDING,
    "onboarding.terms_of_use": Audience.ONBOARDING,
    "onboarding.privacy_policy": Audience.ONBOARDING,
    "onboarding.mdm_aup": Audience.ONBOARDING,
    "onboarding.done": Audience.OFFICER,
    "authenticator_setup.invitation": Audience.PUBLIC,
    "authenticator_setup.accept": Audience.PUBLIC,
    "seed.seed_link": Audience.PUBLIC,
    "seed.resend": Audience.PUBLIC,
    "seed.request_seed": Audience.OFFICER,
    "seed.ask_withdrawal": Audience.OFFICER,
    "seed.withdraw": Audience.OFFICER,
    "seed.send_seed_again": Audience.OFFICER,
    "log_in.log_in": Audience.PUBLIC,
    "log_in.code": Audience.PUBLIC,
    "log_in.authenticator": Audience.PUBLIC,
    "log_in.recovery": Audience.PUBLIC,
    "log_in.log_out": Audience.PUBLIC,
    "profile.profile": Audience.OFFICER,
    "profile.seed_deadline": Audience.OFFICER,
    "security.index": Audience.OFFICER,
    "security.confirm": Audience.OFFICER,
    "security.authenticator": Audience.OFFICER,
    "security.start_authenticator": Audience.OFFICER,
    "security.cancel_authenticator": Audience.OFFICER,
    "security.recovery_codes": Audience.OFFICER,
    "security.new_recovery_codes": Audience.OFFICER,
    "security.recovery_codes_file": Audience.OFFICER,
    "security.end_session": Audience.OFFICER,
    "security.end_sessions": Audience.OFFICER,
    "edit_profile.edit": Audience.OFFICER,
    "activity.index": Audience.OFFICER,
    "not_me.not_me": Audience.PUBLIC,
    "not_me.lock": Audience.PUBLIC,
    "devices.index": Audience.OFFICER,
    "devices.register": Audience.OFFICER,
    "devices.accept_policy": Audience.OFFICER,
    "devices.row": Audience.OFFICER,
    "devices.retry": Audience.OFFICER,
    "devices.ask_removal": Audience.OFFICER,
    "devices.remove": Audience.OFFICER,
    "mdm.report": Audience.MACHINE,
    "admin_start.index": Audience.STAFF,
    "admin_requests.index": Audience.STAFF,
    "admin_requests.row": Audience.STAFF,
    "admin_requests.approve": Audience.ADMIN,
    "admin_requests.ask_reason": Audience.ADMIN,
    "admin_requests.reject": Audience.ADMIN,
    "admin_requests.ask_question": Audience.ADMIN,
    "admin_requests.ask": Audience.ADMIN,
    "admin_requests.note": Audience.ADMIN,
    "admin_requests.approve_selected": Audience.ADMIN,
    "admin_requests.ask_reason_for_selected": Audience.ADMIN,
    "admin_requests.reject_selected": Audience.ADMIN,
    "admin_requests.undo": Audience.ADMIN,
    "admin_requests.keys": Audience.ADMIN,
    "admin_accounts.index": Audience.STAFF,
    "admin_accounts.account": Audience.STAFF,
    "admin_accounts.add_note": Audience.ADMIN,
    "admin_accounts.ask": Audience.ADMIN,
    "admin_accounts.do": Audience.ADMIN,
    "admin_mail.index": Audience.STAFF,
    "admin_mail.mail": Audience.STAFF,
    "admin_mail.html": Audience.STAFF,
    "admin_mail.retry": Audience.ADMIN,
    "admin_mail.retry_all": Audience.ADMIN,
    "admin_jobs.index": Audience.STAFF,
    "admin_jobs.retry": Audience.ADMIN,
    "admin_jobs.retry_all": Audience.ADMIN,
    "admin_jobs.forget": Audience.ADMIN,
    "admin_audit.index": Audience.STAFF,
    "admin_audit.export": Audience.STAFF,
    "admin_agencies.index": Audience.STAFF,
    "admin_agencies.agency": Audience.STAFF,
    "admin_agencies.export": Audience.STAFF,
    "admin_agencies.dismiss": Audience.ADMIN,
    "admin_agencies.new": Audience.ADMIN,
    "admin_agencies.add": Audience.ADMIN,
    "admin_agencies.change": Audience.ADMIN,
    "admin_agencies.ask_removal": Audience.ADMIN,
    "admin_agencies.remove": Audience.ADMIN,
    "admin_agencies.import_form": Audience.ADMIN,
    "admin_agencies.import_lines": Audience.ADMIN,
    "admin_holidays.index": Audience.STAFF,
    "admin_holidays.add": Audience.ADMIN,
    "admin_holidays.ask_lines": Audience.ADMIN,
    "admin_holidays.add_lines": Audience.ADMIN,
    "admin_holidays.ask_removal": Audience.ADMIN,
    "admin_holidays.remove": Audience.ADMIN,
    "admin_forecast.index": Audience.STAFF,
    "admin_forecast.back": Audience.STAFF,
    "admin_forecast.allow_part": Audience.ADMIN,
    "admin_forecast.act": Audience.ADMIN,
    "admin_forecast.rehearse": Audience.STAFF,
    "admin_forecast.letter": Audience.STAFF,
    "admin_forecast.letter_html": Audience.STAFF,
    "health.healthz": Audience.MACHINE,
    "health.readyz": Audience.MACHINE,
    "health.metrics": Audience.MACHINE,
    "dev_inbox.inbox": Audience.DEVELOPMENT,
    "dev_inbox.message": Audience.DEVELOPMENT,
    "dev_inbox.html": Audience.DEVELOPMENT,
    "dev_inbox.calendar": Audience.DEVELOPMENT,
    "dev_inbox.authenticator": Audience.DEVELOPMENT,
}
"""Whoever adds a route adds a line here, and thinks about who may use it."""

COUNTED = (Account, Request, Invitation, Mail, AuditEvent)


def rows_written() -> list[int]:
    return [db.session.scalar(select(func.count()).select_from(table)) or 0 for table in COUNTED]


def address_of(rule) -> str:
    values = {
        "token": "x" * 43,
        "request_id": "1",
        "agency_id": "1",
        "mail_id": "1",
        "device_id": "1",
        "intune_device_id": "8e2b3c44-5d6f-4a7b-8c9d-0e1f2a3b4c5d",
        "session_id": "1",
        "filename": "app.css",
        "name": "x.eml",
        "page": "1",
        "part": "expiry",
        "what": "expired",
        "number": "1",
        "form": "csv",
        "account_id": "1",
        "invitee_id": "1",
        "batch_id": "1",
        "row": "2",
        "outcome": "failed",
        "action": "hold",
    }
    address = rule.rule
    for argument in rule.arguments:
        address = address.replace(f"<id:{argument}>", values[argument]).replace(f"<path:{argument}>", values[argument])
        address = address.replace(f"<uuid:{argument}>", str(UUID(int=1))).replace(f"<{argument}>", values[argument])
    return address


def routes(app, *audiences):
    for rule in app.url_map.iter_rules():
        if audience_of(app, rule.endpoint) in audiences:
            for method in sorted((rule.methods or set()) - {"OPTIONS"}):
                yield method, address_of(rule)


def test_every_route_says_who_may_use_it_and_the_table_knows_it(app):
    declared = {rule.endpoint: audience_of(app, rule.endpoint) for rule in app.url_map.iter_rules()}
    assert declared == TABLE


@pytest.mark.parametrize("htmx", [False, True], ids=["page", "fragment"])
def test_a_visitor_gets_the_log_in_page_and_nothing_else(app, client, htmx):
    headers = {"HX-Request": "true"} if htmx else {}
    app.config["WTF_CSRF_ENABLED"] = False
    try:
        for method, address in routes(app, Audience.OFFICER, Audience.INVITER, Audience.STAFF, Audience.ADMIN):
            answer = client.open(address, method=method, headers=headers)
            where = answer.headers.get("HX-Redirect" if htmx else "Location", "")
            assert answer.status_code == (204 if htmx else 303), (method, address)
            assert where.startswith("/log-in"), (method, address)
        for method, address in routes(app, Audience.ONBOARDING):
            answer = client.open(address, method=method, headers=headers)
            assert answer.status_code == (204 if htmx else 303), (method, address)
    finally:
        app.config["WTF_CSRF_ENABLED"] = True
    assert rows_written() == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("htmx", [False, True], ids=["page", "fragment"])
def test_for_an_officer_the_admins_pages_do_not_exist(app, client, make, htmx):
    request = make.request()
    make.sign_in(client, make.account())
    before = rows_written()
    app.config["WTF_CSRF_ENABLED"] = False
    try:
        for method, address in routes(app, Audience.STAFF, Audience.ADMIN):
            answer = client.open(address, method=method, headers={"HX-Request": "true"} if htmx else {})
            assert answer.status_code == 404, (method, address)
    finally:
        app.config["WTF_CSRF_ENABLED"] = True
    assert rows_written() == before
    assert db.session.get_one(Request, request.id).state == "open"


CHANGES = {"POST", "PUT", "PATCH", "DELETE"}


@pytest.mark.parametrize("htmx", [False, True], ids=["page", "fragment"])
def test_an_auditor_sees_what_admins_see_and_changes_nothing(app, client, make, htmx):
    request = make.request(seed=True)
    make.invitation()
    make.sign_in(client, make.auditor())
    before = rows_written()
    headers = {"HX-Request": "true"} if htmx else {}
    shown = 0
    app.config["WTF_CSRF_ENABLED"] = False
    try:
        for method, address in routes(app, Audience.ADMIN):
            answer = client.open(address, method=method, headers=headers)
            assert answer.status_code == 404, (method, address)
        for method, address in routes(app, Audience.STAFF):
            answer = client.open(address, method=method, headers=headers)
            assert method not in CHANGES, f"{address} changes something, for auditors too"
            # A thing that is not there, or a row that has a page of its own.
            assert answer.status_code in (200, 204, 303, 404), (method, address)
            if method == "GET" and answer.status_code == 200 and answer.mimetype == "text/html":
                shown += 1
                assert not {
                    where for where in sent_to(answer.text) if audience_at(app, "POST", where) is Audience.ADMIN
                }
                assert not {where for where in led_to(answer.text) if audience_at(app, "GET", where) is Audience.ADMIN}
    finally:
        app.config["WTF_CSRF_ENABLED"] = True
    assert shown > 1
    written = [after - was for after, was in zip(rows_written(), before, strict=True)]
    assert written[:-1] == [0, 0, 0, 0], "what an auditor took along may be on record, and nothing else"
    assert db.session.get_one(Request, request.id).state == "open"


def sent_to(page):
    """Where the forms and buttons of a page send to."""
    forms = re.findall(r'<form\b[^>]*method="post"[^>]*>', page)
    return {
        unescape(where)
        for tag in [*forms, *re.findall(r"<(?:button|input|a|div|tr)\b[^>]*>", page)]
        for where in re.findall(r'\b(?:action|formaction|hx-post|hx-delete)="([^"]+)"', tag)
    }


def led_to(page):
    return {unescape(where) for where in re.findall(r'\b(?:href|hx-get)="([^"]+)"', page)}


def audience_at(app, method, address):
    """Who may use an address; None where it leads out of the portal."""
    with contextlib.suppress(HTTPException):
        endpoint, _ = app.url_map.bind("localhost").match(urlsplit(address).path, method=method)
        return audience_of(app, endpoint)
    return None


def test_every_form_is_refused_without_its_token(app, client, make):
    make.request()
    make.sign_in(client, make.admin())
    before = rows_written()
    for rule in app.url_map.iter_rules():
        if "POST" not in (rule.methods or set()) or rule.endpoint in ("sign_up.check",):
            continue
        answer = client.post(address_of(rule), data={"reason": "x", "email": "a@tech.gov.sg", "code": "123456"})
        assert answer.status_code in (400, 404, 410, 422, 303), rule
        assert answer.headers.get("Location", "/").startswith("/"), rule
    assert rows_written() == before
    assert client.get("/profile").status_code == 200, "signed out by a form without a token"


def test_a_post_from_another_site_is_refused(app, client, make):
    make.request()
    make.sign_in(client, make.admin())
    client.get("/admin/requests")
    token = client.csrf_token()
    answer = client.post(
        "/admin/requests/1/approve",
        data={"csrf_token": token},
        headers={"Sec-Fetch-Site": "cross-site", "HX-Request": "true"},
    )
    assert answer.status_code == 403
    assert db.session.get_one(Request, 1).state == "open"


def test_losing_the_role_takes_effect_on_the_next_request(app, client, make):
    admin = make.admin()
    make.sign_in(client, admin)
    assert client.get("/admin/requests").status_code == 200
    db.session.query(Account).filter_by(id=admin.id).update({"role": "officer"})
    db.session.commit()
    assert client.get("/admin/requests").status_code == 404


@pytest.mark.parametrize("status", ["disabled", "terminated", "deleted"])
def test_losing_the_account_takes_effect_on_the_next_request(app, client, make, status):
    account = make.account()
    make.sign_in(client, account)
    assert client.get("/profile").status_code == 200
    db.session.query(Account).filter_by(id=account.id).update({"status": status})
    db.session.commit()
    assert client.get("/profile").status_code == 303
