"""The stand-in for the MDM system moves devices along through the portal's own endpoint (rule 4.7)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from werkzeug.serving import make_server

from tests.stack import ROOT
from webapp import clock
from webapp.dev import mdm_simulator
from webapp.dev.environment import development_settings
from webapp.domain.lifecycle import DeviceStatus, SeedStatus
from webapp.domain.mdm import sign
from webapp.extensions import db
from webapp.models import Account, Device, Mail
from webapp.services import audit, devices

SECRET = "a secret of the MDM system for tests, 0123456789"
D = DeviceStatus
GOOD, FAILING, SILENT = (
    "8e2b3c44-5d6f-4a7b-8c9d-0e1f2a3b4c5d",
    "8e2b3c44-5d6f-4a7b-8c9d-0e1f2a3b4c5f",
    "00003c44-5d6f-4a7b-8c9d-0e1f2a3b4c5d",
)


@pytest.fixture
def portal(app, monkeypatch):
    """The portal behind a real HTTP server; its address."""
    monkeypatch.setitem(app.config, "SETTINGS", replace(app.config["SETTINGS"], mdm_webhook_secret=SECRET))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def look(app, portal, monkeypatch):
    """``look(5)`` has the simulator look so many seconds from now, and gives how the devices stand after that."""
    start = clock.now()

    def after(seconds: float, wait: timedelta = mdm_simulator.STEP, taken: bool = True) -> list[str]:
        db.session.rollback()
        monkeypatch.setattr(clock, "now", lambda: start + timedelta(seconds=seconds))
        assert mdm_simulator.move_along(app, portal, wait) is taken
        db.session.expire_all()
        return [str(status) for status in db.session.scalars(select(Device.status).order_by(Device.id))]

    return after


@pytest.fixture
def device(make):
    return lambda number: make.device(make.account(seed_status=SeedStatus.INVITED), intune_device_id=number)


def test_a_device_goes_on_step_by_step(look, device):
    device(GOOD)
    assert look(1) == ["triggered"]
    assert look(5) == ["software_installed"]
    assert look(6) == ["software_installed"]
    assert look(10) == ["onboarded"]
    assert look(20) == ["onboarded"]
    assert db.session.scalars(select(Account.seed_status)).all() == [SeedStatus.ONBOARDED]
    assert db.session.scalars(select(Mail.kind)).all() == ["device_onboarded"]


def test_an_id_that_ends_with_f_fails_once(look, device, policy, now):
    made = device(FAILING)
    assert look(5) == ["failed"]
    assert db.session.scalars(select(Device.reason)).one() == mdm_simulator.REASON
    assert look(50) == ["failed"]
    account = db.session.get_one(Account, made.account_id)
    devices.retry(account.id, made.id, audit.By.person(account, ""), now + timedelta(seconds=60), policy)
    assert look(65) == ["software_installed"]
    assert look(70) == ["onboarded"]


def test_an_id_that_begins_with_0000_is_never_heard_of(look, device):
    device(SILENT)
    assert look(10**5) == ["triggered"]


def test_without_waiting_each_goes_on_by_one_step(look, device):
    device(GOOD)
    device(FAILING)
    assert look(0, timedelta(0)) == ["software_installed", "failed"]
    assert look(0.001, timedelta(0)) == ["onboarded", "failed"]


def test_a_report_that_is_refused_is_told(look, device, app, monkeypatch, capsys):
    device(GOOD)
    monkeypatch.setattr(mdm_simulator, "sign", lambda secret, *signed: sign(secret + "x", *signed))
    assert look(5, taken=False) == ["triggered"]
    assert "401" in capsys.readouterr().out


def test_a_portal_that_does_not_answer_is_told(app, device, monkeypatch, capsys):
    monkeypatch.setitem(app.config, "SETTINGS", replace(app.config["SETTINGS"], mdm_webhook_secret=SECRET))
    device(GOOD)
    db.session.rollback()
    assert mdm_simulator.move_along(app, "http://127.0.0.1:9", timedelta(0)) is False
    assert "cannot be reached" in capsys.readouterr().out


def environment(app, monkeypatch, **changes: str) -> None:
    settings = app.config["SETTINGS"]
    given = {
        "APP_ENV": "test",
        "SECRET_KEY": settings.secret_key,
        "PUBLIC_BASE_URL": settings.public_base_url,
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "MAIL_SERVER": settings.mail_server,
        "MDM_WEBHOOK_SECRET": SECRET,
    }
    for name, value in (given | changes).items():
        monkeypatch.setenv(name, value)


def test_once_does_one_round_and_ends(app, portal, device, monkeypatch, capsys):
    device(GOOD)
    db.session.rollback()
    environment(app, monkeypatch, MDM_PORTAL_URL=portal)
    assert mdm_simulator.main(["--once"]) == 0
    assert f"{GOOD}: software_installed, changed" in capsys.readouterr().out
    assert db.session.scalars(select(Device.status).execution_options(populate_existing=True)).one() is (
        D.SOFTWARE_INSTALLED
    )


def test_it_says_what_it_needs(app, monkeypatch, capsys):
    environment(app, monkeypatch, MDM_WEBHOOK_SECRET="")
    assert mdm_simulator.main(["--once"]) == 1
    assert "MDM_WEBHOOK_SECRET" in capsys.readouterr().err


def test_the_example_in_the_documentation_is_taken(app, portal, device, monkeypatch):
    made = device(GOOD)
    present = datetime.now(UTC)
    made.reported_at, made.remove_at = present - timedelta(minutes=5), present + timedelta(days=1)
    db.session.commit()
    monkeypatch.setattr(clock, "now", lambda: present)
    (example,) = re.findall(r"```python\n(.+?)```", (ROOT / "docs/mdm.md").read_text(), re.DOTALL)
    environ = {"PATH": os.environ["PATH"], "MDM_WEBHOOK_SECRET": SECRET, "PORTAL": portal}
    done = subprocess.run([sys.executable, "-c", example], env=environ, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == '{"result":"changed"}', done.stderr
    db.session.refresh(made)
    assert (made.status, made.reason) == (D.FAILED, "BitLocker is off.")


def test_development_makes_a_secret_of_its_own_and_keeps_it(tmp_path):
    first = development_settings(tmp_path, 8000, {})
    assert len(first["MDM_WEBHOOK_SECRET"]) >= 32
    assert first["MDM_WEBHOOK_SECRET"] != first["SECRET_KEY"]
    assert development_settings(tmp_path, 8000, {})["MDM_WEBHOOK_SECRET"] == first["MDM_WEBHOOK_SECRET"]
    assert (tmp_path / "mdm-webhook-secret").stat().st_mode & 0o077 == 0
    assert "MDM_WEBHOOK_SECRET" not in development_settings(tmp_path, 8000, {"MDM_WEBHOOK_SECRET": "mine"})
