"""Who may use which route: the declared table, and what everybody else gets (promise 6)."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

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
    "receipts.deadline": Audience.PUBLIC,
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
    "admin_requests.start": Audience.ADMIN,
    "admin_requests.index": Audience.ADMIN,
    "admin_requests.row": Audience.ADMIN,
    "admin_requests.approve": Audience.ADMIN,
    "admin_requests.ask_reason": Audience.ADMIN,
    "admin_requests.reject": Audience.ADMIN,
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
        "mail_id": "1",
        "device_id": "1",
        "intune_device_id": "8e2b3c44-5d6f-4a7b-8c9d-0e1f2a3b4c5d",
        "session_id": "1",
        "filename": "app.css",
        "name": "x.eml",
        "page": "1",
    }
    address = rule.rule
    for argument in rule.arguments:
        address = address.replace(f"<id:{argument}>", values[argument]).replace(f"<path:{argument}>", values[argument])
        address = address.replace(f"<{argument}>", values[argument])
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
        for method, address in routes(app, Audience.OFFICER, Audience.ADMIN):
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
        for method, address in routes(app, Audience.ADMIN):
            answer = client.open(address, method=method, headers={"HX-Request": "true"} if htmx else {})
            assert answer.status_code == 404, (method, address)
    finally:
        app.config["WTF_CSRF_ENABLED"] = True
    assert rows_written() == before
    assert db.session.get_one(Request, request.id).state == "open"


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
